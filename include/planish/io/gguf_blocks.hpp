#pragma once
// Values of a row of blocks. A code times a half scale has at most 19 significant bits, so the product is exact in
// float32 and q·d + m rounds once, fused or not: every compiler gives the same bits.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/core/index.hpp>
#include <planish/io/checked_size.hpp>
#include <planish/io/gguf_types.hpp>

namespace planish::inline PLANISH_ABI::io {

namespace detail {

[[nodiscard]] inline float load_half(const std::byte* address) noexcept {
  return Half{load<std::uint16_t>(address)}.to_float();
}

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

/// Q8_0: half d, 32 signed bytes; x = q · d.
inline void dequantize_q8_0(const std::byte* block, float* out) noexcept {
  const float d = load_half(block);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(load<std::int8_t>(block + 2 + j)) * d;
}

}  // namespace detail

/// True for the types that `dequantize_blocks` reads.
[[nodiscard]] constexpr bool can_dequantize(GgufType type) noexcept {
  return type == GgufType::f32 || type == GgufType::f16 || type == GgufType::bf16 || type == GgufType::q4_0 ||
         type == GgufType::q4_1 || type == GgufType::q8_0;
}

/// Values of `blocks` consecutive blocks (single elements for F32, F16, BF16), at any address. The type must be one
/// that `can_dequantize` names.
inline void dequantize_blocks(GgufType type, const std::byte* from, index blocks, float* out) noexcept {
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
    case GgufType::q4_0:
      for (index i = 0; i < blocks; ++i) detail::dequantize_q4_0(from + 18 * i, out + 32 * i);
      return;
    case GgufType::q4_1:
      for (index i = 0; i < blocks; ++i) detail::dequantize_q4_1(from + 20 * i, out + 32 * i);
      return;
    case GgufType::q8_0:
      for (index i = 0; i < blocks; ++i) detail::dequantize_q8_0(from + 34 * i, out + 32 * i);
      return;
    default:
      return;
  }
}

}  // namespace planish::inline PLANISH_ABI::io
