#pragma once
#include <cmath>
#include <numbers>
#include <type_traits>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/kernels/cpu/exponential.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// 2^x for x ≤ 127; 0 for −∞ and for what lies below the least normal number.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> power_of_two(Lanes<T> x) noexcept {
  if constexpr (std::is_same_v<T, float>)
    return kernels::cpu::power_of_two(x);
  else
    return lane_by_lane<T>(x, [](T v) { return std::exp2(v); });
}

/// 1 / (1 + e⁻ˣ), by the power of −|x|, which cannot overflow.
template <class T>
[[nodiscard]] PLANISH_ALWAYS_INLINE Lanes<T> sigmoid_of(Lanes<T> x) noexcept {
  const Lanes<T> one(T{1});
  const Lanes<T> power = power_of_two<T>(xsimd::abs(x) * Lanes<T>(-std::numbers::log2e_v<T>));
  return xsimd::select(x < Lanes<T>(T{0}), power, one) / (one + power);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
