#pragma once
// A float as a whole number and what is left of it, and powers of two times a float.
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

/// x · 2^whole where whole ≥ −126 and the result is normal; NaN stays NaN.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch times_power_of_two(FloatBatch x, FloatBatch whole) noexcept {
#if defined(__AVX512F__)
  return FloatBatch(_mm512_maskz_scalef_ps(0xffff, x, whole));
#else
  const IntBatch exponent = xsimd::bitwise_cast<IntBatch>(whole + FloatBatch(0x1.8p23f)) << 23;
  return x * xsimd::bitwise_cast<FloatBatch>(exponent + IntBatch(0x3f800000));
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
