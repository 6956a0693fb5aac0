#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/exponent.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/reference/exponential.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// 2^x per lane, see `reference::power_of_two`.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch power_of_two(FloatBatch x) noexcept {
  const auto [whole, rest] = whole_and_rest(x);
  FloatBatch power(exponential_terms[5]);
  unroll<5>([&, r = rest ](auto i) __attribute__((always_inline)) {
    power = multiply_add(power, r, FloatBatch(exponential_terms[4 - i]));
  });
  power = multiply_add(power, rest, FloatBatch(1.0f));
  return times_power_of_two(power, whole, x, exponential_least);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
