#pragma once
// Values of a row of blocks. A code times a half scale has at most 19 significant bits, so the product is exact in
// float32 and q·d + m rounds once, fused or not: every compiler gives the same bits.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/core/index.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/gguf_k_quants.hpp>
#include <planish/io/gguf_types.hpp>

namespace planish::inline PLANISH_ABI::io {

namespace detail {

/// 32 nibbles: byte j holds value j (low) and value j + 16 (high).
template <class Value>
inline void unpack_nibbles(const std::byte* codes, float* out, Value value) noexcept {
  for (int j = 0; j < 16; ++j) {
    const auto byte = std::to_integer<int>(codes[j]);
    out[j] = value(byte & 15);
    out[j + 16] = value(byte >> 4);
  }
}

/// Q4_0: half d, 16 bytes; x = (q − 8) · d.
inline void dequantize_q4_0(const std::byte* block, float* out) noexcept {
  const float d = load_half(block);
  unpack_nibbles(block + 2, out, [d](int q) { return static_cast<float>(q - 8) * d; });
}

/// Q4_1: half d, half m, 16 bytes; x = q · d + m.
inline void dequantize_q4_1(const std::byte* block, float* out) noexcept {
  const float d = load_half(block), m = load_half(block + 2);
  unpack_nibbles(block + 4, out, [d, m](int q) { return static_cast<float>(q) * d + m; });
}

/// 32 five-bit codes: nibbles as above, and bit i of a little-endian word is the fifth bit of value i.
template <class Value>
inline void unpack_five_bits(const std::byte* high_bits, const std::byte* codes, float* out, Value value) noexcept {
  const auto word = load<std::uint32_t>(high_bits);
  for (int j = 0; j < 16; ++j) {
    const auto byte = std::to_integer<int>(codes[j]);
    out[j] = value((byte & 15) | static_cast<int>(word >> j & 1) << 4);
    out[j + 16] = value(byte >> 4 | static_cast<int>(word >> (j + 16) & 1) << 4);
  }
}

/// Q5_0: half d, 4 bytes of fifth bits, 16 bytes; x = (q − 16) · d.
inline void dequantize_q5_0(const std::byte* block, float* out) noexcept {
  const float d = load_half(block);
  unpack_five_bits(block + 2, block + 6, out, [d](int q) { return static_cast<float>(q - 16) * d; });
}

/// Q5_1: half d, half m, 4 bytes of fifth bits, 16 bytes; x = q · d + m.
inline void dequantize_q5_1(const std::byte* block, float* out) noexcept {
  const float d = load_half(block), m = load_half(block + 2);
  unpack_five_bits(block + 4, block + 8, out, [d, m](int q) { return static_cast<float>(q) * d + m; });
}

/// Q8_0: half d, 32 signed bytes; x = q · d.
inline void dequantize_q8_0(const std::byte* block, float* out) noexcept {
  const float d = load_half(block);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(load<std::int8_t>(block + 2 + j)) * d;
}

using DequantizeBlock = void (*)(const std::byte* block, float* out) noexcept;

/// Reads one block of a quantized type; nullptr for types that are not read, and for floats.
[[nodiscard]] constexpr DequantizeBlock block_reader(GgufType type) noexcept {
  switch (type) {
    case GgufType::q4_0:
      return dequantize_q4_0;
    case GgufType::q4_1:
      return dequantize_q4_1;
    case GgufType::q5_0:
      return dequantize_q5_0;
    case GgufType::q5_1:
      return dequantize_q5_1;
    case GgufType::q8_0:
      return dequantize_q8_0;
    case GgufType::q2_k:
      return dequantize_q2_k;
    case GgufType::q3_k:
      return dequantize_q3_k;
    case GgufType::q4_k:
      return dequantize_q4_k;
    case GgufType::q5_k:
      return dequantize_q5_k;
    case GgufType::q6_k:
      return dequantize_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace detail

/// The types that `dequantize_blocks` reads, for messages.
inline constexpr std::string_view dequantized_types =
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K and Q6_K";

/// True for the types that `dequantize_blocks` reads.
[[nodiscard]] constexpr bool can_dequantize(GgufType type) noexcept {
  return type == GgufType::f32 || type == GgufType::f16 || type == GgufType::bf16 ||
         detail::block_reader(type) != nullptr;
}

/// Values of `blocks` consecutive blocks (single elements for F32, F16, BF16), at any address. The type must be one
/// that `can_dequantize` names.
inline void dequantize_blocks(GgufType type, const std::byte* from, index blocks, float* out) noexcept {
  const GgufLayout* const layout = gguf_layout(static_cast<std::uint32_t>(type));
  switch (type) {
    case GgufType::f32:
      if (blocks > 0) std::memcpy(out, from, static_cast<std::size_t>(blocks) * sizeof(float));
      return;
    case GgufType::f16:
      for (index i = 0; i < blocks; ++i) out[i] = detail::load_half(from + 2 * i);
      return;
    case GgufType::bf16:
      for (index i = 0; i < blocks; ++i) out[i] = BFloat16{detail::load<std::uint16_t>(from + 2 * i)}.to_float();
      return;
    default:
      if (const auto read = detail::block_reader(type))
        for (index i = 0; i < blocks; ++i) read(from + layout->bytes * i, out + layout->values * i);
      return;
  }
}

}  // namespace planish::inline PLANISH_ABI::io
