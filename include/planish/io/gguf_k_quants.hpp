#pragma once
// Values of super-blocks of 256: sub-blocks have small integer scales (and minima) under one half scale each. A half
// (11 bits) times scale (8) times code (5) fits the 24 bits of float32, so both products are exact and only the last
// subtraction rounds, fused or not: every compiler gives the same bits.
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/io/checked_size.hpp>

namespace planish::inline PLANISH_ABI::io::detail {

inline constexpr int super_block = 256;  // values

[[nodiscard]] inline float load_half(const std::byte* address) noexcept {
  return Half{load<std::uint16_t>(address)}.to_float();
}

[[nodiscard]] inline int byte_at(const std::byte* from, int i) noexcept { return std::to_integer<int>(from[i]); }

/// The two bits that belong to value i where four runs of 32 values share 32 bytes, lowest bits first (Q2_K, Q3_K).
[[nodiscard]] inline int two_bits(const std::byte* codes, int i) noexcept {
  return byte_at(codes, i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
}

/// The four bits that belong to value i where two runs of 32 values share 32 bytes (Q4_K, Q5_K).
[[nodiscard]] inline int four_bits(const std::byte* codes, int i) noexcept {
  return byte_at(codes, i / 64 * 32 + i % 32) >> (i % 64 / 32 * 4) & 15;
}

/// Of a sub-block of Q4_K or Q5_K.
struct ScaleAndMinimum {
  int scale, minimum;  // 6 bits each
};

/// Twelve bytes hold eight scales and eight minima. Those of sub-blocks 0 to 3 are the low six bits of bytes 0 to 3 and
/// 4 to 7; of 4 to 7, the low four bits are the nibbles of bytes 8 to 11 and the high two the spare bits of bytes 0
/// to 7.
[[nodiscard]] inline ScaleAndMinimum scale_and_minimum(const std::byte* packed, int sub_block) noexcept {
  const int j = sub_block % 4, first = byte_at(packed, j), second = byte_at(packed, 4 + j);
  if (sub_block < 4) return {first & 63, second & 63};
  const int nibbles = byte_at(packed, 8 + j);
  return {(nibbles & 15) | first >> 6 << 4, nibbles >> 4 | second >> 6 << 4};
}

/// Q2_K: 16 bytes of scale (low nibble) and minimum (high), 64 bytes of codes, half d, half m; sub-blocks of 16;
/// x = q · scale · d − minimum · m.
inline void dequantize_q2_k(const std::byte* block, float* out) noexcept {
  const float d = load_half(block + 80), m = load_half(block + 82);
  for (int s = 0; s < super_block / 16; ++s) {
    const int packed = byte_at(block, s);
    const float scale = d * static_cast<float>(packed & 15), minimum = m * static_cast<float>(packed >> 4);
    for (int i = 16 * s; i < 16 * (s + 1); ++i) out[i] = static_cast<float>(two_bits(block + 16, i)) * scale - minimum;
  }
}

/// Q3_K: 32 bytes of high bits, 64 bytes of low bits, 12 bytes of scales, half d; sub-blocks of 16;
/// x = (q − 4) · (scale − 32) · d. Byte i mod 32 holds the high bits of values i mod 32 + 32 k, bit k. The low four
/// bits of scale s are a nibble of byte s mod 8, its high two bits lie in byte 8 + s mod 4.
inline void dequantize_q3_k(const std::byte* block, float* out) noexcept {
  const std::byte* const packed = block + 96;
  const float d = load_half(block + 108);
  for (int s = 0; s < super_block / 16; ++s) {
    const int low = byte_at(packed, s % 8) >> (s / 8 * 4) & 15, high = byte_at(packed, 8 + s % 4) >> (s / 4 * 2) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    for (int i = 16 * s; i < 16 * (s + 1); ++i) {
      const int high_bit = byte_at(block, i % 32) >> (i / 32) & 1;
      out[i] = static_cast<float>((two_bits(block + 32, i) | high_bit << 2) - 4) * scale;
    }
  }
}

/// Q4_K: half d, half m, 12 bytes of scales and minima, 128 bytes of codes; sub-blocks of 32;
/// x = q · scale · d − minimum · m.
inline void dequantize_q4_k(const std::byte* block, float* out) noexcept {
  const float d = load_half(block), m = load_half(block + 2);
  for (int s = 0; s < super_block / 32; ++s) {
    const ScaleAndMinimum packed = scale_and_minimum(block + 4, s);
    const float scale = d * static_cast<float>(packed.scale), minimum = m * static_cast<float>(packed.minimum);
    for (int i = 32 * s; i < 32 * (s + 1); ++i) out[i] = static_cast<float>(four_bits(block + 16, i)) * scale - minimum;
  }
}

/// Q5_K: as Q4_K, with 32 bytes of fifth bits before the codes: byte i mod 32 holds those of values i mod 32 + 32 k,
/// bit k.
inline void dequantize_q5_k(const std::byte* block, float* out) noexcept {
  const float d = load_half(block), m = load_half(block + 2);
  for (int s = 0; s < super_block / 32; ++s) {
    const ScaleAndMinimum packed = scale_and_minimum(block + 4, s);
    const float scale = d * static_cast<float>(packed.scale), minimum = m * static_cast<float>(packed.minimum);
    for (int i = 32 * s; i < 32 * (s + 1); ++i) {
      const int high_bit = byte_at(block + 16, i % 32) >> s & 1;
      out[i] = static_cast<float>(four_bits(block + 48, i) | high_bit << 4) * scale - minimum;
    }
  }
}

/// Q6_K: 128 bytes of low four bits, 64 bytes of high two bits, 16 signed scales, half d; sub-blocks of 16;
/// x = (q − 32) · scale · d. In each half of 128 values, 64 bytes hold value i (low nibble) and i + 64 (high).
inline void dequantize_q6_k(const std::byte* block, float* out) noexcept {
  const float d = load_half(block + 208);
  for (int s = 0; s < super_block / 16; ++s) {
    const float scale = d * static_cast<float>(load<std::int8_t>(block + 192 + s));
    for (int i = 16 * s; i < 16 * (s + 1); ++i) {
      const int low = byte_at(block, i / 128 * 64 + i % 64) >> (i % 128 / 64 * 4) & 15;
      out[i] = static_cast<float>((low | two_bits(block + 128, i) << 4) - 32) * scale;
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::io::detail
