// What opening a file takes from the heap: at most twice the file (and what a small file needs anyway), however the
// file is made; and reading it, at most what its tensors declare. A program of its own, because it counts.
#include <algorithm>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "counted_heap.hpp"
#include "io/files.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

using namespace planish;
using namespace io_test;

namespace {

constexpr std::size_t small_file = std::size_t{8} << 20;  // bytes that any file may take

/// Opens the file and checks what that takes; the sentence if it is refused.
template <class Open>
std::string opened(const Bytes& file, Open open) {
  auto in_memory = io::MappedFile::from_bytes(file, "memory");
  std::string sentence;
  const std::size_t most = counted_heap::most_of([&] {
    const auto result = open(std::move(in_memory));
    if (!result) sentence.assign(result.status().message());
  });
  INFO(file.size(), " bytes of file, ", most, " bytes of heap, ", sentence);
  CHECK(most <= 2 * file.size() + small_file);
  return sentence;
}

std::string open_safetensors_header(const std::string& header) {
  return opened(safetensors_bytes(header, 0), [](auto file) { return io::SafetensorsFile::from(std::move(file)); });
}
std::string open_gguf_bytes(const Bytes& file) {
  return opened(file, [](auto mapped) { return io::GgufFile::from(std::move(mapped)); });
}

/// `{` item, item, ... `}` of at least so many bytes; `item(i)` makes one.
template <class Item>
std::string json_of(std::size_t bytes, Item item) {
  std::string text = "{";
  for (int i = 0; text.size() < bytes; ++i) text += (i > 0 ? "," : "") + item(std::to_string(i));
  return text + '}';
}

}  // namespace

TEST_CASE("memory: safetensors headers that are all entries, all strings or all depth") {
  constexpr std::size_t big = 6 << 20;
  CHECK(contains(
      open_safetensors_header(json_of(
          big, [](const std::string& i) { return '"' + i + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})"; })),
      "too many entries"));
  CHECK(contains(open_safetensors_header("{\"__metadata__\":" +
                                         json_of(big, [](const std::string& i) { return '"' + i + "\":\"\""; }) + '}'),
                 "too many entries"));
  const std::string giant(big, 'x');
  CHECK(open_safetensors_header("{\"__metadata__\":{\"a\":\"" + giant + "\"}}").empty());
  CHECK(open_safetensors_header("{\"__metadata__\":{\"" + giant + "\":\"a\"}}").empty());
  CHECK(contains(open_safetensors_header("{\"" + giant + "\":{}}"), "has no dtype"));
  CHECK(contains(open_safetensors_header("{\"a\":{\"x\":" + std::string(big, '[')), "nested too deeply"));
  CHECK_FALSE(open_safetensors_header("{\"a\":{\"x\":[" + std::string(big, '0') + "]}}").empty());
}

TEST_CASE("memory: GGUF files that are all keys, all tensors or one long array") {
  constexpr int many = 400'000;
  GgufBuilder keys;
  for (int i = 0; i < many; ++i) keys.metadata<std::uint8_t>(std::to_string(i), 0, 1);
  CHECK(contains(open_gguf_bytes(keys.build()), "too many for a file"));
  GgufBuilder tensors;
  for (int i = 0; i < many; ++i) tensors.tensor(std::to_string(i), {0}, 0, 0);
  CHECK(contains(open_gguf_bytes(tensors.build()), "too many for a file"));

  GgufBuilder arrays;
  arrays.array<std::string>("words", 8, std::vector<std::string>(many))
      .array<std::uint8_t>("bytes", 0, std::vector<std::uint8_t>(many));
  const Bytes file = arrays.build();
  CHECK(open_gguf_bytes(file).empty());
  const auto opened_file = open_gguf(file);
  REQUIRE(opened_file.has_value());
  const std::size_t most = counted_heap::most_of([&] {
    CHECK(contains(message_of(opened_file->string_array("words").status()), "too many for a file"));
    CHECK(opened_file->int_array("bytes").has_value());
  });
  CHECK(most <= 2 * file.size() + small_file);
}

TEST_CASE("memory: a tensor takes what it declares, and a claim beyond the file nothing") {
  const std::size_t count = 300'000;
  const std::string header = R"({"a":{"dtype":"F16","shape":[300000],"data_offsets":[0,600000]}})";
  const auto file = open_safetensors(safetensors_bytes(header, 2 * count));
  REQUIRE(file.has_value());
  CHECK(counted_heap::most_of([&] { static_cast<void>(file->read_floats(file->tensors()[0], io::NotFinite::keep)); }) <=
        count * sizeof(float) + 4096);

  GgufBuilder lying;
  lying.tensor("t", {32, std::uint64_t{1} << 40}, 8, 0);
  CHECK(contains(open_gguf_bytes(lying.build(Bytes(34))), "reach past the end of the file"));
  CHECK(contains(open_safetensors_header(
                     R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,18446744073709551615]}})"),
                 "a"));
}

#endif
