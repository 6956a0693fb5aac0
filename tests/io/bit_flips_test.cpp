// Files with one wrong bit, or a few: whatever is still accepted is read to its end, and nothing may crash.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
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

std::size_t below(Random& random, std::size_t bound) { return static_cast<std::size_t>(random.below(bound)); }

/// Flips up to three bits, most often in the first `header` bytes, and opens the result.
template <class Open>
void flip(const Bytes& good, std::size_t header, int rounds, std::uint64_t seed, Open open) {
  Random random(seed);
  int accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    Bytes bytes = good;
    for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
      const std::size_t range = random.below(4) == 0 ? bytes.size() : header;
      bytes[below(random, range)] ^= static_cast<std::byte>(1 << random.below(8));
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

namespace {

/// A file with tensors of several types behind one another, and values of several types.
Bytes whole_gguf() {
  GgufBuilder file;
  file.string("general.architecture", "llama").metadata<std::uint32_t>("general.alignment", 4, 32);
  file.metadata("rope.freq_base", 6, 1e5f).metadata<std::uint8_t>("add_bos", 7, 0);
  file.array<std::string>("tokenizer.ggml.tokens", 8, {"a", "bc", ""}).array<std::int32_t>("types", 5, {1, 2, 3});
  file.tensor("token_embd.weight", {32, 4}, 8, 0).tensor("norm", {9}, 0, 160).tensor("q", {64, 3}, 3, 224);
  ByteBuilder data;
  for (int i = 0; i < 344; ++i) data.value(static_cast<std::uint8_t>(i * 37));
  return file.build(data.bytes);
}

/// How many values and tensors of a file are others when one of its bits is wrong. Tensors are compared by their place:
/// what lies there differs by that bit at most.
std::size_t differences(const io::GgufHeader& a, std::span<const std::byte> a_file, const io::GgufHeader& b,
                        std::span<const std::byte> b_file) {
  REQUIRE(a.values.size() == b.values.size());
  REQUIRE(a.tensors.size() == b.tensors.size());
  const auto differ = [&](std::span<const std::byte> x, std::span<const std::byte> y) {
    return x.size() != y.size() || (!x.empty() && x.data() - a_file.data() != y.data() - b_file.data());
  };
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const io::GgufValue &x = a.values[i], &y = b.values[i];
    different += x.key != y.key || x.type != y.type || x.item != y.item || x.count != y.count ||
                 !std::equal(x.bytes.begin(), x.bytes.end(), y.bytes.begin(), y.bytes.end());
  }
  for (std::size_t i = 0; i < a.tensors.size(); ++i) {
    const io::GgufTensor &x = a.tensors[i], &y = b.tensors[i];
    different += x.name != y.name || x.type() != y.type() || x.shape != y.shape || differ(x.bytes, y.bytes);
  }
  return different;
}

/// Flips a bit, reads what the file says, and flips it back: refused, or one value or tensor is another.
void check_flip(Bytes& file, const io::GgufHeader& good, const Bytes& original, std::size_t byte, std::size_t bit) {
  file[byte] ^= static_cast<std::byte>(1 << bit);
  CAPTURE(byte);
  CAPTURE(bit);
  const auto header = io::read_gguf_header("memory", file);
  if (header)
    CHECK(differences(good, original, *header, file) <= 1);
  else
    CHECK(is_good_message(header.status(), "memory: "));
  file[byte] = original[byte];
}

}  // namespace

TEST_CASE("one wrong bit of a GGUF file, every one: refused, or in that one value or tensor") {
  const Bytes original = whole_gguf();
  const auto good = io::read_gguf_header("memory", original);
  REQUIRE_MESSAGE(good.has_value(), message_of(good.status()));
  Bytes file = original;
  for (std::size_t byte = 0; byte < file.size(); ++byte)
    for (std::size_t bit = 0; bit < 8; ++bit) check_flip(file, *good, original, byte, bit);
}

TEST_CASE("a file cut anywhere: GGUF, safetensors and artefact") {
  const auto refused_everywhere = [](const Bytes& good, auto open) {
    REQUIRE(open(good).has_value());
    Random random(44);
    for (int cut = 0; cut < 200; ++cut) {
      const auto size = static_cast<std::ptrdiff_t>(random.below(good.size()));
      CAPTURE(size);
      CHECK(is_good_message(open(Bytes(good.begin(), good.begin() + size)).status(), "memory: "));
    }
  };
  refused_everywhere(whole_gguf(), open_gguf);
  refused_everywhere(safetensors_bytes(R"({"t":{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]}})", 128),
                     open_safetensors);
  const TemporaryFolder folder;
  io::ArtefactWriter writer;
  auto codes = *Codes::make(5, 33, 4, Symmetry::asymmetric, 16);
  REQUIRE(writer.add_codes("w", codes.view()).ok());
  REQUIRE(writer.set_recipe("w4a4").ok());
  REQUIRE(writer.write(folder / "a").ok());
  refused_everywhere(read_bytes(folder / "a"), open_artefact);
}

TEST_CASE("the default model: 200 wrong bits in what describes it, 200 cuts") {
  const char* path = std::getenv("PLANISH_TEST_MODEL");
  if (path == nullptr) {
    MESSAGE("skipped: no model here");
    return;
  }
  const Bytes original = read_bytes(path);
  const auto good = io::read_gguf_header("memory", original);
  REQUIRE_MESSAGE(good.has_value(), message_of(good.status()));
  std::size_t values = 0;  // bytes at the end that are the tensors'
  for (const io::GgufTensor& tensor : good->tensors) values += tensor.bytes.size();
  Bytes file = original;
  Random random(45);
  for (int i = 0; i < 200; ++i) {
    check_flip(file, *good, original, below(random, file.size() - values), below(random, 8));
    const std::size_t cut = below(random, file.size());
    CAPTURE(cut);
    CHECK(is_good_message(io::read_gguf_header("memory", std::span(file).first(cut)).status(), "memory: "));
  }
}
