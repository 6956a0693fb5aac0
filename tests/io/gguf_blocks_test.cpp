#include <cstdint>
#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>
#include <planish/io/gguf_blocks.hpp>

#include "files.hpp"

using namespace planish;
using namespace planish::io;

namespace {

// The definitions, in float64, one value at a time: an exact result rounds once.
double value_of(GgufType type, const std::uint8_t* block, int i) {
  const auto half = [block](int at) {
    return static_cast<double>(Half{static_cast<std::uint16_t>(block[at] | block[at + 1] << 8)}.to_float());
  };
  const auto nibble = [block, i](int at) { return i < 16 ? block[at + i] & 15 : block[at + i - 16] >> 4; };
  switch (type) {
    case GgufType::q4_0:
      return (nibble(2) - 8) * half(0);
    case GgufType::q4_1:
      return nibble(4) * half(0) + half(2);
    case GgufType::q8_0:
      return static_cast<std::int8_t>(block[2 + i]) * half(0);
    default:
      return 0.0;
  }
}

}  // namespace

TEST_CASE("GGUF blocks: every value equals its definition, at any address") {
  Random random(17);
  INFO("seed 17");
  for (GgufType type : {GgufType::q4_0, GgufType::q4_1, GgufType::q8_0}) {
    const GgufLayout& layout = *gguf_layout(static_cast<std::uint32_t>(type));
    const planish::index blocks = 65;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(blocks * layout.bytes));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.below(256));
    for (planish::index b = 0; b < blocks; ++b)
      for (planish::index scale = 0; scale < (type == GgufType::q4_1 ? 2 : 1); ++scale) {
        const auto bits = Half::from_float(static_cast<float>(random.normal() * (b % 7 == 0 ? 1e-6 : 0.1))).bits;
        std::memcpy(bytes.data() + b * layout.bytes + 2 * scale, &bits, 2);
      }
    for (std::size_t shift : {0u, 1u}) {
      std::vector<std::byte> moved(bytes.size() + shift);
      std::memcpy(moved.data() + shift, bytes.data(), bytes.size());
      std::vector<float> out(static_cast<std::size_t>(blocks * 32));
      dequantize_blocks(type, moved.data() + shift, blocks, out.data());
      for (planish::index b = 0; b < blocks; ++b)
        for (int i = 0; i < 32; ++i) {
          const auto expected = static_cast<float>(value_of(type, bytes.data() + b * layout.bytes, i));
          REQUIRE(out[static_cast<std::size_t>(b * 32 + i)] == expected);
        }
    }
  }
}

TEST_CASE("GGUF blocks: plain floats") {
  const float values[] = {0.0f, -1.5f, 3.0e-6f, 65504.0f};
  io_test::ByteBuilder f32, f16, bf16;
  for (float v : values) {
    f32.value(v);
    f16.value(Half::from_float(v));
    bf16.value(BFloat16::from_float(v));
  }
  float out[4];
  dequantize_blocks(GgufType::f32, f32.bytes.data(), 4, out);
  for (int i = 0; i < 4; ++i) CHECK(out[i] == values[i]);
  dequantize_blocks(GgufType::f16, f16.bytes.data(), 4, out);
  for (int i = 0; i < 4; ++i) CHECK(out[i] == Half::from_float(values[i]).to_float());
  dequantize_blocks(GgufType::bf16, bf16.bytes.data(), 4, out);
  for (int i = 0; i < 4; ++i) CHECK(out[i] == BFloat16::from_float(values[i]).to_float());
}
