#pragma once
// A float as a whole number and what is left of it, powers of two times a float, the larger of two.
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// x = whole + rest, the whole number nearest to x (half to even), |rest| ≤ 1/2; for |x| below 2^22.
struct WholeAndRest {
  FloatBatch whole, rest;
};
[[nodiscard]] PLANISH_ALWAYS_INLINE WholeAndRest whole_and_rest(FloatBatch x) noexcept {
#if defined(__AVX512DQ__)
  const FloatBatch rest(_mm512_maskz_reduce_ps(0xffff, x, 0));
  return {x - rest, rest};
#else
  const FloatBatch shift(0x1.8p23f), whole = (x + shift) - shift;
  return {whole, x - whole};
#endif
}

/// x · 2^whole, a normal number, or NaN; 0 where `of` is below `least`, where whole may be anything.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch times_power_of_two(FloatBatch x, FloatBatch whole, FloatBatch of,
                                                                  float least) noexcept {
#if defined(__AVX512F__)
  const __mmask16 kept = _mm512_cmp_ps_mask(of, _mm512_set1_ps(least), _CMP_NLT_UQ);
  return FloatBatch(_mm512_maskz_scalef_ps(kept, x, whole));
#else
  const IntBatch exponent = bits_as<IntBatch>(whole + FloatBatch(0x1.8p23f)) << 23;
  const FloatBatch product = x * bits_as<FloatBatch>(exponent + IntBatch(0x3f800000));
  return xsimd::select(of < FloatBatch(least), FloatBatch(0.0f), product);
#endif
}

/// The larger of the two per lane; `highest` where `next` is NaN.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch larger(FloatBatch next, FloatBatch highest) noexcept {
#if defined(__SSE2__)
  return xsimd::max(next, highest);  // x86 takes the second operand unless the first is greater
#else
  return xsimd::select(next > highest, next, highest);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
