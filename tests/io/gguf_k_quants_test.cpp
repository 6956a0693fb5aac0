// The quantized types of GGUF that have more than one integer per value: an encoder of single bits against the readers,
// and vectors worked out by hand.
#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/io/gguf_blocks.hpp>

#include "files.hpp"
#include "gguf_encoder.hpp"

using namespace planish;
using namespace planish::io;
using namespace io_test;

namespace {

constexpr GgufType five_bit_types[] = {GgufType::q5_0, GgufType::q5_1};
constexpr GgufType k_types[] = {GgufType::q2_k, GgufType::q3_k, GgufType::q4_k, GgufType::q5_k, GgufType::q6_k};

/// A block of equal bytes but for what is set, as values.
std::vector<float> values_of(GgufType type, int filler, const std::vector<std::pair<int, int>>& set) {
  Bytes block(static_cast<std::size_t>(layout_of(type).bytes), static_cast<std::byte>(filler));
  for (const auto& [at, byte] : set) block[static_cast<std::size_t>(at)] = static_cast<std::byte>(byte);
  std::vector<float> out(static_cast<std::size_t>(layout_of(type).values));
  dequantize_blocks(type, block.data(), 1, out.data());
  return out;
}

bool all_equal(const std::vector<float>& values, float expected, std::size_t first = 0, std::size_t last = 256) {
  for (std::size_t i = first; i < std::min(last, values.size()); ++i)
    if (values[i] != expected) return false;
  return true;
}

}  // namespace

TEST_CASE("GGUF blocks of five bits and super-blocks: every bit lies where an encoder puts it, at any address") {
  Random random(23);
  INFO("seed 23");
  std::vector<GgufType> types(std::begin(five_bit_types), std::end(five_bit_types));
  types.insert(types.end(), std::begin(k_types), std::end(k_types));
  for (GgufType type : types) {
    CAPTURE(layout_of(type).name);
    CHECK(can_dequantize(type));
    constexpr std::size_t blocks = 67;
    std::vector<Fields> fields;
    Bytes bytes(1);  // so that blocks begin at odd addresses
    for (std::size_t b = 0; b < blocks; ++b) {
      fields.push_back(random_fields(type, random));
      const Bytes block = encode(type, fields.back());
      REQUIRE(static_cast<planish::index>(block.size()) == layout_of(type).bytes);
      bytes.insert(bytes.end(), block.begin(), block.end());
    }
    const auto values = static_cast<std::size_t>(layout_of(type).values);
    std::vector<float> out(blocks * values);
    dequantize_blocks(type, bytes.data() + 1, blocks, out.data());
    for (std::size_t b = 0; b < blocks; ++b)
      for (std::size_t i = 0; i < values; ++i)
        REQUIRE(out[b * values + i] == static_cast<float>(value_of(type, fields[b], i)));
  }
}

TEST_CASE("GGUF blocks: as many values are written as the blocks hold, and none behind them") {
  int wrong = 0;
  for (GgufType type :
       {GgufType::f32, GgufType::f16, GgufType::bf16, GgufType::q4_0, GgufType::q4_1, GgufType::q5_0, GgufType::q5_1,
        GgufType::q8_0, GgufType::q2_k, GgufType::q3_k, GgufType::q4_k, GgufType::q5_k, GgufType::q6_k})
    for (planish::index blocks : {0, 1, 2, 3}) {
      const Bytes bytes(static_cast<std::size_t>(4 * layout_of(type).bytes));
      std::vector<float> out(static_cast<std::size_t>(5 * layout_of(type).values), -7.5f);
      dequantize_blocks(type, bytes.data(), blocks, out.data());
      for (std::size_t i = 0; i < out.size(); ++i) {
        const bool inside = i < static_cast<std::size_t>(blocks * layout_of(type).values);
        wrong += inside ? out[i] != 0.0f : out[i] != -7.5f;
      }
    }
  CHECK(wrong == 0);
}

TEST_CASE("GGUF Q5_0 and Q5_1 by hand") {
  // d = 1 (0x3c00), m = 0.5 (0x3800)
  CHECK(all_equal(values_of(GgufType::q5_0, 0x00, {{1, 0x3c}}), -16.0f));
  CHECK(all_equal(values_of(GgufType::q5_0, 0xff, {{0, 0x00}, {1, 0x3c}}), 15.0f));
  const auto high = values_of(GgufType::q5_0, 0x00, {{1, 0x3c}, {2, 0x02}, {5, 0x80}, {6, 0x30}});
  CHECK(high[1] == 0.0f);     // bit 1 of the word: value 1
  CHECK(high[31] == 0.0f);    // bit 31: value 31
  CHECK(high[16] == -13.0f);  // the high nibble of the first byte
  CHECK(high[0] == -16.0f);
  CHECK(all_equal(values_of(GgufType::q5_1, 0x00, {{1, 0x3c}, {3, 0x38}}), 0.5f));
  CHECK(all_equal(values_of(GgufType::q5_1, 0xff, {{0, 0x00}, {1, 0x3c}, {2, 0x00}, {3, 0x38}}), 31.5f));
}

TEST_CASE("GGUF Q2_K by hand") {
  const std::vector<std::pair<int, int>> scales{{80, 0x00}, {81, 0x3c}, {82, 0x00}, {83, 0x38}};
  CHECK(all_equal(values_of(GgufType::q2_k, 0x00, scales), 0.0f));
  CHECK(all_equal(values_of(GgufType::q2_k, 0xff, scales), 3 * 15 - 0.5f * 15));
  auto set = scales;
  set.insert(set.end(), {{9, 0x4a}, {16 + 32, 0x02}, {16 + 32 + 16, 0x03}});
  const auto values = values_of(GgufType::q2_k, 0x00, set);
  CHECK(values[128] == 0.0f);                 // sub-block 8 has no scale
  CHECK(values[144] == 3 * 10 - 0.5f * 4);    // sub-block 9: scale 10, minimum 4
  CHECK(all_equal(values, -2.0f, 145, 160));  // its other codes are 0
  CHECK(all_equal(values, 0.0f, 160));
}

TEST_CASE("GGUF Q3_K by hand") {
  const std::vector<std::pair<int, int>> one{{108, 0x00}, {109, 0x3c}};
  CHECK(all_equal(values_of(GgufType::q3_k, 0x00, one), 128.0f));     // (0 - 4) (0 - 32)
  CHECK(all_equal(values_of(GgufType::q3_k, 0xff, one), 3.0f * 31));  // (7 - 4) (63 - 32)
  auto set = one;
  set.insert(set.end(), {{96 + 5, 0x10}, {96 + 8 + 1, 0xc0}, {3, 0x80}});
  const auto values = values_of(GgufType::q3_k, 0x00, set);
  // Scale 13 = 1 + 16 * 3 = 49 from the high nibble of byte 5 and the top bits of byte 8 + 1.
  CHECK(all_equal(values, -4.0f * 17, 208, 224));
  CHECK(values[224 + 3] == 0.0f);  // the eighth bit of byte 3: value 7 * 32 + 3 has its high bit
  CHECK(values[224 + 2] == 128.0f);
}

TEST_CASE("GGUF Q4_K and Q5_K by hand: six bits of scale and minimum") {
  for (GgufType type : {GgufType::q4_k, GgufType::q5_k}) {
    CAPTURE(layout_of(type).name);
    const bool five = type == GgufType::q5_k;
    const int codes = five ? 48 : 16;
    const std::vector<std::pair<int, int>> scales{{0, 0x00}, {1, 0x3c}, {2, 0x00}, {3, 0x38}};
    CHECK(all_equal(values_of(type, 0x00, scales), 0.0f));
    CHECK(all_equal(values_of(type, 0xff, scales), (five ? 31 : 15) * 63 - 0.5f * 63));
    auto set = scales;
    set.insert(set.end(), {{4, 0xc5}, {8, 0x43}, {12, 0x21}, {codes, 0x0f}, {codes + 64, 0x07}});
    const auto values = values_of(type, 0x00, set);
    CHECK(values[0] == 15 * 5 - 0.5f * 3);  // sub-block 0: scale 5, minimum 3
    CHECK(all_equal(values, -1.5f, 1, 32));
    CHECK(all_equal(values, 0.0f, 32, 128));
    CHECK(values[128] == 7 * (1 + 48) - 0.5f * (2 + 16));  // sub-block 4: scale 1 + 3 * 16, minimum 2 + 1 * 16
    CHECK(all_equal(values, -9.0f, 129, 160));
    if (!five) continue;
    auto high = scales;
    high.insert(high.end(), {{4 + 8 + 1, 0x01}, {16 + 4, 0x20}});  // scale 5 = 1; bit 5 of byte 4: value 5 * 32 + 4
    CHECK(values_of(type, 0x00, high)[164] == 16.0f);
    CHECK(values_of(type, 0x00, high)[163] == 0.0f);
  }
}

TEST_CASE("GGUF Q6_K by hand") {
  const std::vector<std::pair<int, int>> one{{208, 0x00}, {209, 0x3c}};
  CHECK(all_equal(values_of(GgufType::q6_k, 0xff, one), -31.0f));  // (63 - 32) · −1
  auto set = one;
  for (int s = 0; s < 16; ++s) set.emplace_back(192 + s, 0x80);
  CHECK(all_equal(values_of(GgufType::q6_k, 0x00, set), 4096.0f));  // −32 · −128
  set = one;
  for (int s = 0; s < 16; ++s) set.emplace_back(192 + s, s == 13 ? 0x7f : 0x01);
  set.insert(set.end(), {{64 + 17, 0x90}, {128 + 32 + 17, 0x20}});
  const auto values = values_of(GgufType::q6_k, 0x00, set);
  CHECK(values[128 + 64 + 17] == 9.0f * 127);  // 9 in the high nibble, 2 in bits 4 and 5: 41 − 32
  CHECK(values[128 + 32 + 17] == -32.0f);      // low nibble 0
}

TEST_CASE("GGUF super-blocks: rows that are no whole number of blocks, and bytes that the file lacks, are refused") {
  for (GgufType type : k_types) {
    const GgufLayout& layout = layout_of(type);
    CAPTURE(layout.name);
    const auto open = [&](std::uint64_t columns, std::uint64_t rows, std::size_t bytes) {
      io_test::GgufBuilder file;
      file.tensor("t", {columns, rows}, static_cast<std::uint32_t>(type), 0);
      return io_test::open_gguf(file.build(Bytes(bytes)));
    };
    const auto size = static_cast<std::size_t>(layout.bytes);
    for (std::uint64_t columns : {1u, 32u, 255u, 257u, 384u})
      CHECK(contains(io_test::message_of(open(columns, 2, 4 * size).status()), "are no whole number of "));
    for (std::size_t missing : {std::size_t{1}, size - 1, size, 2 * size})
      CHECK(contains(io_test::message_of(open(256, 2, 2 * size - missing).status()), "reach past the end of the file"));
    CHECK(contains(io_test::message_of(open(std::uint64_t{1} << 62, 4, size).status()), io_test::shape_overflow));
    const auto good = open(512, 3, 6 * size);
    REQUIRE(good.has_value());
    const GgufTensor& tensor = *good->find("t");
    CHECK(tensor.row_bytes() == 2 * layout.bytes);
    std::vector<float> row(512);
    CHECK(good->dequantize_rows(tensor, 2, 1, row.data()).ok());
    CHECK(contains(io_test::message_of(good->dequantize_rows(tensor, 2, 2, row.data())), "it has 3"));
    CHECK(contains(io_test::message_of(good->dequantize_rows(tensor, -1, 1, row.data())), "it has 3"));
  }
}

TEST_CASE("GGUF super-blocks: a scale that is not finite is refused by place, types without a reader by name") {
  for (GgufType type : k_types) {
    Random random(5);
    Fields f = random_fields(type, random);
    f.d = 0x7c00;  // infinity
    Bytes data = encode(type, random_fields(type, random));
    const Bytes bad = encode(type, f);
    data.insert(data.end(), bad.begin(), bad.end());
    io_test::GgufBuilder file;
    file.tensor("t", {512}, static_cast<std::uint32_t>(type), 0);
    const auto opened = io_test::open_gguf(file.build(data));
    REQUIRE(opened.has_value());
    CHECK(contains(io_test::message_of(opened->read_floats(*opened->find("t")).status()), "tensor 't'"));
  }
  io_test::GgufBuilder file;
  file.tensor("t", {256}, static_cast<std::uint32_t>(GgufType::q8_k), 0);
  const auto opened = io_test::open_gguf(file.build(Bytes(292)));
  REQUIRE(opened.has_value());
  const std::string message = io_test::message_of(opened->read_floats(*opened->find("t")).status());
  CHECK(contains(message, "values of type Q8_K (15) are not read; F32, F16, BF16, Q4_0"));
  CHECK(contains(message, "Q5_K and Q6_K are"));

  io_test::GgufBuilder unread;
  unread.tensor("t", {256}, 23, 0);
  CHECK(contains(io_test::message_of(io_test::open_gguf(unread.build(Bytes(136))).status()),
                 "tensor 't': type IQ4_XS (23) is not read; F32, F16, BF16, Q4_0"));
}
