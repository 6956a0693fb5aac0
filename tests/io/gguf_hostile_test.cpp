#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "files.hpp"

using namespace planish;
using namespace io_test;

namespace {

GgufBuilder small_file() {
  GgufBuilder file;
  file.string("general.architecture", "llama").metadata<std::uint32_t>("llama.block_count", 4, 1);
  file.array<std::string>("tokenizer.ggml.tokens", 8, {"a", "bc", ""}).array<float>("scores", 6, {1.0f, 2.0f});
  file.tensor("a", {32, 2}, 8, 0).tensor("b", {3}, 0, 96);
  return file;
}

Bytes small_data() { return Bytes(108); }

std::string refused(const GgufBuilder& file, const Bytes& data = small_data()) {
  const Status status = open_gguf(file.build(data)).status();
  CHECK(is_good_message(status, "memory: "));
  return message_of(status);
}

GgufBuilder one_tensor(const std::vector<std::uint64_t>& extents, std::uint32_t type, std::uint64_t offset) {
  GgufBuilder file;
  file.tensor("t", extents, type, offset);
  return file;
}

}  // namespace

TEST_CASE("GGUF: cut at every byte") {
  const Bytes whole = small_file().build(small_data());
  const auto good = open_gguf(whole);
  REQUIRE_MESSAGE(good.has_value(), message_of(good.status()));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Status status = open_gguf(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).status();
    CAPTURE(size);
    CHECK(is_good_message(status, "memory: "));
    CHECK(status.code() == ErrorCode::malformed);
  }
}

TEST_CASE("GGUF: magic and version") {
  GgufBuilder file = small_file();
  file.magic = "GGML";
  CHECK(contains(refused(file), "not a GGUF file"));
  for (std::uint32_t version : {0u, 1u, 2u, 4u}) {
    file = small_file();
    file.version = version;
    CHECK(contains(refused(file), "GGUF version " + std::to_string(version) + "; version 3 is read"));
  }
  file.version = 0x03000000u;
  CHECK(contains(refused(file), "(big-endian)"));
}

TEST_CASE("GGUF: counts that the file cannot hold") {
  for (std::uint64_t count :
       {std::uint64_t{1} << 20, std::uint64_t{1} << 40, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    GgufBuilder file = small_file();
    file.tensors = count;
    CHECK(contains(refused(file), "claims " + std::to_string(count) + " tensors"));
    file = small_file();
    file.keys = count;
    CHECK(contains(refused(file), std::to_string(count) + " metadata keys"));
    for (std::uint32_t item : {0u, 4u, 8u, 10u}) {
      file = GgufBuilder();
      ++file.keys;
      file.values.text("long").value<std::uint32_t>(9).value(item).value(count);
      CHECK(contains(refused(file), "metadata 'long': " + std::to_string(count) + " x "));
    }
    file = GgufBuilder();
    ++file.keys;
    file.values.text("long").value<std::uint32_t>(8).value(count).raw("abc");
    CHECK(contains(refused(file), "metadata 'long': 1 x string do not fit the file"));
    file = GgufBuilder();
    ++file.keys;
    file.values.value(count).raw("a key without an end");
    CHECK(contains(refused(file), "the file ends inside its metadata"));
  }
}

TEST_CASE("GGUF: metadata of wrong types") {
  GgufBuilder file;
  file.metadata<std::uint32_t>("k", 13, 0);
  CHECK(contains(refused(file), "metadata 'k': unknown type 13"));
  file = GgufBuilder();
  file.array<std::uint32_t>("k", 77, {});
  CHECK(contains(refused(file), "metadata 'k': array of unknown type 77"));
  file = GgufBuilder();
  file.array<std::uint32_t>("k", 9, {});
  CHECK(contains(refused(file), "metadata 'k': an array of arrays is not read"));
  file = GgufBuilder();
  file.metadata<std::uint8_t>("k", 7, 2);
  CHECK(contains(refused(file), "metadata 'k': a bool is neither 0 nor 1"));
  file = GgufBuilder();
  file.string("k", "1").string("k", "2");
  CHECK(contains(refused(file), "metadata 'k' comes twice"));
  file = GgufBuilder();
  file.string(std::string(65536, 'k'), "1");
  CHECK(contains(refused(file), "a metadata key has 65536 bytes"));
  for (std::uint32_t alignment : {0u, 3u, 48u, 0xffffffffu}) {
    file = GgufBuilder();
    file.metadata("general.alignment", 4, alignment);
    CHECK(contains(refused(file), "is not a power of two"));
  }
  file = GgufBuilder();
  file.metadata<std::uint64_t>("general.alignment", 10, 32);
  CHECK(contains(refused(file), "'general.alignment' is not a u32"));
}

TEST_CASE("GGUF: tensors of wrong types and shapes") {
  for (std::uint32_t type : {4u, 5u, 31u, 36u, 41u, 97u, 399u, 0xffffffffu})
    CHECK(contains(refused(one_tensor({32}, type, 0)),
                   "memory: tensor 't': unknown or private type " + std::to_string(type)));
  CHECK(contains(refused(one_tensor({33}, 8, 0)), "rows of 33 values are no whole number of Q8_0 blocks of 32"));
  CHECK(contains(refused(one_tensor({16, 2}, 2, 0)), "rows of 16 values"));
  CHECK(contains(refused(one_tensor({1, 1, 1, 1, 1}, 0, 0)), "has 5 extents"));
  CHECK(contains(refused(one_tensor({std::uint64_t{1} << 63}, 0, 0)), "is too large"));
  CHECK(contains(refused(one_tensor({std::uint64_t{1} << 62, 4}, 0, 0)), shape_overflow));
  CHECK(contains(refused(one_tensor({std::uint64_t{1} << 61}, 28, 0)), shape_overflow));
  CHECK(contains(refused(one_tensor({0, std::uint64_t{1} << 40, 1u << 30}, 0, 0)), shape_overflow));
  GgufBuilder file;
  file.tensor(std::string(65, 'n'), {1}, 0, 0);
  CHECK(contains(refused(file), "the name has 65 bytes"));
  file = GgufBuilder();
  file.tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32);
  CHECK(contains(refused(file), "tensor 't': comes twice"));
}

TEST_CASE("GGUF: tensors outside the file or on top of each other") {
  CHECK(contains(refused(one_tensor({32}, 0, 0)), "128 bytes at data byte 0 reach past the end of the file (108"));
  CHECK(contains(refused(one_tensor({1}, 0, 128)), "reach past the end"));
  CHECK(contains(refused(one_tensor({1}, 0, ~std::uint64_t{0} - 31)), "reach past the end"));
  CHECK(contains(refused(one_tensor({1}, 0, 4)), "offset 4 is not a multiple of the alignment 32"));
  GgufBuilder file;
  file.tensor("a", {16}, 0, 0).tensor("b", {16}, 0, 32);
  CHECK(contains(refused(file), "tensor 'b': overlaps tensor 'a'"));
  file = GgufBuilder();
  file.tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 0);
  CHECK(contains(refused(file), "overlaps tensor"));
  file = GgufBuilder();
  file.tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 64);
  CHECK(
      contains(refused(file), "tensor 'b': begins at data byte 64, leaving a hole (the tensor before it ends at 16)"));
  CHECK(contains(refused(one_tensor({4}, 0, 32)), "begins at data byte 32, leaving a hole"));
  CHECK(contains(refused(one_tensor({4}, 0, 0)), "the tensors end at data byte 16, but the file has 108"));
}

namespace {

std::string sentence_of(const Bytes& file) { return message_of(open_gguf(file).status()); }

Bytes first_of(const Bytes& file, std::size_t size) {
  return Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
}

/// The file without the padding that follows its tables.
Bytes without_padding(const GgufBuilder& file) {
  return first_of(file.build(), 24 + file.values.bytes.size() + file.infos.bytes.size());
}

}  // namespace

TEST_CASE("GGUF: a file may end with the last byte of its tables, and counts may be as large as it can hold") {
  CHECK(open_gguf(without_padding(GgufBuilder())).has_value());
  GgufBuilder key;
  key.metadata<std::uint8_t>("", 0, 7);  // 13 bytes, the least
  CHECK(open_gguf(without_padding(key)).has_value());
  GgufBuilder word;
  word.string("k", "word");
  CHECK(open_gguf(without_padding(word)).has_value());
  GgufBuilder words;
  words.array<std::string>("k", 8, std::vector<std::string>(9));
  CHECK(open_gguf(without_padding(words)).has_value());
  GgufBuilder tensor;
  tensor.tensor("t", {0}, 0, 0);
  const Bytes empty_tensor = without_padding(tensor);
  REQUIRE(open_gguf(empty_tensor).has_value());
  CHECK(open_gguf(empty_tensor)->find("t")->bytes.empty());
  GgufBuilder scalar;
  scalar.tensor("", {}, 24, 0);  // an i8 of rank 0 is described in 24 bytes, the least
  CHECK(open_gguf(scalar.build(Bytes(1))).has_value());

  for (std::uint64_t more : {1u, 2u}) {  // than the bytes after the first 24 could hold
    Bytes file = without_padding(key);
    GgufBuilder claims = key;
    claims.keys = (file.size() - 24) / 13 + more;
    CHECK(contains(sentence_of(without_padding(claims)), "claims 0 tensors"));
    claims = tensor;
    claims.tensors = (empty_tensor.size() - 24) / 24 + more;
    CHECK(contains(sentence_of(without_padding(claims)), "claims " + std::to_string(claims.tensors) + " tensors"));
  }
}

TEST_CASE("GGUF: a file that ends inside an array's head or a tensor's description is told so") {
  GgufBuilder array;
  array.array<std::uint32_t>("a long enough key", 4, {});
  const Bytes whole_array = without_padding(array);
  REQUIRE(open_gguf(whole_array).has_value());
  for (std::size_t missing = 1; missing <= 12; ++missing)
    CHECK(contains(sentence_of(first_of(whole_array, whole_array.size() - missing)), "the file ends inside it"));
  for (std::size_t missing = 13; missing <= 16; ++missing)
    CHECK(contains(sentence_of(first_of(whole_array, whole_array.size() - missing)), "ends inside its metadata"));

  const Bytes whole_tensor = without_padding(one_tensor({0, 2}, 0, 0));
  REQUIRE(open_gguf(whole_tensor).has_value());
  for (std::size_t missing = 1; missing <= 4 + 2 * 8 + 4 + 8; ++missing)
    if (whole_tensor.size() - missing >= 24 + 24)
      CHECK(contains(sentence_of(first_of(whole_tensor, whole_tensor.size() - missing)),
                     "tensor 't': the file ends inside its description"));
}

TEST_CASE("GGUF: the longest key, the longest name, four extents and the largest extent are read") {
  GgufBuilder file;
  const std::string key(65535, 'k'), name(64, 'n');
  file.string(key, "1").tensor(name, {1, 1, 1, 1}, 0, 0);
  const auto gguf = open_gguf(file.build(Bytes(4)));
  REQUIRE_MESSAGE(gguf.has_value(), message_of(gguf.status()));
  CHECK(gguf->has(key));
  CHECK(gguf->find(name)->shape.size() == 4);
  const std::uint64_t most = ~std::uint64_t{0} >> 1;
  if constexpr (sizeof(planish::index) == 8) {
    CHECK(contains(refused(one_tensor({most}, 24, 0)), "reach past the end of the file"));
    CHECK(open_gguf(one_tensor({most, 0}, 24, 0).build()).has_value());
  }
}

TEST_CASE("GGUF: the data begins at the next multiple of the alignment, wherever the tables end") {
  int wrong = 0;
  for (std::uint32_t alignment : {1u, 8u, 32u})
    for (std::size_t length = 1; length <= 40; ++length) {
      GgufBuilder file;
      file.alignment = alignment;
      file.metadata("general.alignment", 4, alignment).tensor(std::string(length, 'n'), {4}, 24, 0);
      ByteBuilder data;
      data.raw("abcd");
      const auto gguf = open_gguf(file.build(data.bytes));
      const auto* tensor = gguf ? gguf->find(std::string(length, 'n')) : nullptr;
      wrong += tensor == nullptr || tensor->bytes.size() != 4 || tensor->bytes[0] != std::byte{'a'};
    }
  CHECK(wrong == 0);
}

TEST_CASE("GGUF: tensors without elements may lie together and at the end of the data; less than a step may be left") {
  GgufBuilder file;
  for (int i = 0; i < 100; ++i) file.tensor("empty" + std::to_string(i), {0, 3}, 0, 0);
  file.tensor("full", {8}, 0, 0).tensor("last", {0}, 0, 32);
  CHECK(open_gguf(file.build(Bytes(32))).has_value());
  CHECK(open_gguf(file.build(Bytes(63))).has_value());
  CHECK(contains(refused(file, Bytes(64)), "the tensors end at data byte 32, but the file has 64"));
}

TEST_CASE("GGUF: as many keys and tensors are listed as tables of 8 MiB hold, in a file of less than half of that") {
  const auto keys = [](std::uint64_t count) {
    GgufBuilder file;
    for (std::uint64_t i = 0; i < count; ++i) file.metadata<std::uint8_t>(std::to_string(i), 0, 1);
    return open_gguf(file.build()).status();
  };
  const std::uint64_t most_keys = io::detail::least_table_bytes / (sizeof(io::GgufValue) + 32);
  CHECK(keys(most_keys).ok());
  CHECK(contains(message_of(keys(most_keys + 1)), "too many for a file"));
  const auto tensors = [](std::uint64_t count) {
    GgufBuilder file;
    for (std::uint64_t i = 0; i < count; ++i) file.tensor(std::to_string(i), {0}, 0, 0);
    return open_gguf(file.build()).status();
  };
  const std::uint64_t most_tensors = io::detail::least_table_bytes / (sizeof(io::GgufTensor) + 192);
  CHECK(tensors(most_tensors).ok());
  CHECK(contains(message_of(tensors(most_tensors + 1)), "too many for a file"));
}
