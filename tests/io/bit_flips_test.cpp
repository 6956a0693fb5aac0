// Files with one wrong bit, or a few: whatever is still accepted is read to its end, and nothing may crash.
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>

#include "files.hpp"

using namespace planish;
using namespace io_test;

namespace {

void read_everything(const io::SafetensorsFile& file) {
  for (const io::Tensor& tensor : file.tensors()) {
    static_cast<void>(file.read_floats(tensor));
    static_cast<void>(file.read_integers(tensor));
    CHECK(file.find(tensor.name) == &tensor);
    CHECK(tensor.rows() * tensor.columns() == tensor.elements());
  }
}

void read_everything(const io::GgufFile& file) {
  for (const io::GgufTensor& tensor : file.tensors()) {
    static_cast<void>(file.read_floats(tensor));
    static_cast<void>(file.read_q8_0_codes(tensor));
  }
  for (const io::GgufValue& value : file.metadata()) {
    static_cast<void>(file.get_integer(value.key));
    static_cast<void>(file.get_float(value.key));
    static_cast<void>(file.get_bool(value.key));
    static_cast<void>(file.get_string(value.key));
    static_cast<void>(file.string_array(value.key));
    static_cast<void>(file.float_array(value.key));
    static_cast<void>(file.int_array(value.key));
  }
}

/// Flips up to three bits, most often in the first `header` bytes, and opens the result.
template <class Open>
void flip(const Bytes& good, std::size_t header, int rounds, std::uint64_t seed, Open open) {
  Random random(seed);
  int accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    Bytes bytes = good;
    for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
      const std::size_t range = random.below(4) == 0 ? bytes.size() : header;
      bytes[random.below(range)] ^= static_cast<std::byte>(1 << random.below(8));
    }
    CAPTURE(seed);
    CAPTURE(round);
    const auto file = open(std::move(bytes));
    if (file.has_value()) {
      ++accepted;
      read_everything(*file);
    } else {
      CHECK(is_good_message(file.status(), "memory: "));
    }
  }
  INFO("accepted " << accepted << " of " << rounds);
}

}  // namespace

TEST_CASE("bit flips: safetensors") {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"layer.0.weight":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]},)"
      R"("layer.0.bias":{"dtype":"BF16","shape":[8],"data_offsets":[128,144]},)"
      R"("ids":{"dtype":"I32","shape":[],"data_offsets":[144,148]}})";
  flip(safetensors_bytes(header, 148), 8 + header.size(), 3000, 41, open_safetensors);
}

TEST_CASE("bit flips: a real safetensors file") {
  const std::string path = shared_data("stories260K/model.safetensors");
  if (path.empty()) {
    MESSAGE("skipped: no shared data here");
    return;
  }
  const Bytes good = read_bytes(path);
  const auto header = static_cast<std::size_t>(io::detail::load<std::uint64_t>(good.data())) + 8;
  flip(good, header, 300, 42, open_safetensors);
}

TEST_CASE("bit flips: GGUF") {
  GgufBuilder file;
  file.string("general.architecture", "llama").metadata<std::uint32_t>("general.alignment", 4, 32);
  file.metadata("rope.freq_base", 6, 1e5f).metadata<std::uint8_t>("add_bos", 7, 0);
  file.array<std::string>("tokenizer.ggml.tokens", 8, {"a", "bc", ""}).array<float>("scores", 6, {1.0f, 2.0f});
  file.array<std::int32_t>("types", 5, {1, 2, 3}).metadata<std::uint64_t>("size", 10, 5);
  file.tensor("token_embd.weight", {32, 2}, 8, 0).tensor("norm", {3}, 0, 96).tensor("q", {64}, 3, 128);
  file.tensor("k", {32}, 2, 192);
  ByteBuilder data;
  for (int i = 0; i < 224; ++i) data.value(static_cast<std::uint8_t>(i * 37));
  const Bytes good = file.build(data.bytes);
  REQUIRE(open_gguf(good).has_value());
  flip(good, good.size() - data.bytes.size(), 5000, 43, open_gguf);
}
