#pragma once
// Codes without quotients: x times a number below 1 / s and x times one above it both round to an integer in the one
// instruction that adds 1.5 · 2²³. The rounded quotient lies between the two products, so where they agree on the
// integer it is the quotient's; they disagree only next to a half step, about once in 2¹⁶ values.
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/scheme.hpp>
#include <planish/kernels/cpu/isa/narrow_codes.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// For one scale for which Quotient::by_reciprocal holds, and codes from `lowest` to `highest` steps from zero.
class BracketedCodes {
 public:
  static constexpr index block = 4 * float_lanes;  // values that are written at once
  static constexpr index run = 8 * 64;             // values after which a disagreement shows

  BracketedCodes(float scale, ValueRange range, float lowest, float highest, std::int32_t stored_zero) noexcept
      : least_(lowest * scale),
        most_(highest * scale),
        magic_(0x1.8p23f + static_cast<float>(stored_zero)),
        clamps_(range.highest > (highest + 0.25f) * scale || range.lowest < (lowest - 0.25f) * scale) {
    // 1 / scale is off by half a unit in the last place, a rounded quotient by half a unit of its own: two are enough.
    const auto near = std::bit_cast<std::int32_t>(1.0f / scale);
    below_ = FloatBatch(std::bit_cast<float>(near - 2));
    above_ = FloatBatch(std::bit_cast<float>(near + 2));
  }

  /// Writes whole blocks of codes, `count` of them at most `run`; false where one of them may be wrong.
  [[nodiscard]] PLANISH_ALWAYS_INLINE bool write(const float* from, index count, std::int8_t* to) const noexcept {
    return clamps_ ? write<true>(from, count, to) : write<false>(from, count, to);
  }

 private:
  template <bool Clamps>
  [[nodiscard]] PLANISH_ALWAYS_INLINE bool write(const float* from, index count, std::int8_t* to) const noexcept {
    const BracketedCodes own = *this;  // a copy: codes are chars, which may be anything's bytes
    IntBatch differing(0);
    const auto code = [&](index v) __attribute__((always_inline)) {
      FloatBatch x = FloatBatch::load_unaligned(from + v * float_lanes);
      if constexpr (Clamps) x = xsimd::max(xsimd::min(x, own.most_), own.least_);
      const IntBatch low = xsimd::bitwise_cast<IntBatch>(fused_multiply_add(x, own.below_, own.magic_)),
                     high = xsimd::bitwise_cast<IntBatch>(fused_multiply_add(x, own.above_, own.magic_));
#if defined(__AVX512BW__)
      constexpr int a_or_b_xor_c = 0xf6;
      differing = IntBatch(_mm512_ternarylogic_epi32(static_cast<__m512i>(differing), static_cast<__m512i>(low),
                                                     static_cast<__m512i>(high), a_or_b_xor_c));
      return low;
#else
      differing = differing | (low ^ high);
      return low - IntBatch(0x4b400000);
#endif
    };
    for (; count > 0; count -= block, from += block, to += block)
      store_four_vectors_of_codes(code(0), code(1), code(2), code(3), to);
#if defined(__AVX512BW__)
    return _mm512_test_epi32_mask(static_cast<__m512i>(differing), static_cast<__m512i>(differing)) == 0;
#else
    return xsimd::all(differing == IntBatch(0));
#endif
  }

  FloatBatch least_, most_;   // the steps at the bounds, as values
  FloatBatch below_, above_;  // around 1 / scale
  FloatBatch magic_;          // 1.5 · 2²³ and the stored zero point: an integer in the low bits of the sum
  bool clamps_;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
