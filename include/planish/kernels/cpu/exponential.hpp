#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/reference/exponential.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// 2^x per lane, see `reference::power_of_two`.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch power_of_two(FloatBatch x) noexcept {
  const FloatBatch whole = (x + FloatBatch(exponential_round)) - FloatBatch(exponential_round);
  const FloatBatch r = x - whole;
  FloatBatch power(exponential_terms[5]);
  for (int i = 4; i >= 0; --i) power = multiply_add(power, r, FloatBatch(exponential_terms[i]));
  power = multiply_add(power, r, FloatBatch(1.0f));
  power = xsimd::ldexp(power, xsimd::to_int(whole));
  return xsimd::select(x < FloatBatch(exponential_least), FloatBatch(0.0f), power);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
