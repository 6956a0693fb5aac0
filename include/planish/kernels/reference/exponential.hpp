#pragma once
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/exponential_terms.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// 2^x for x in [−∞, 127], relative error below 1.3e-7; exactly 0 below −126; NaN stays NaN. The same operations in the
/// same order as the vectorised form, so equal to it to the bit.
[[nodiscard]] inline float power_of_two(float x) noexcept {
  if (x < exponential_least) return 0.0f;
  const float shifted = x + exponential_round;
  const float r = x - (shifted - exponential_round);
  float power = exponential_terms[5];
  for (int i = 4; i >= 0; --i) power = multiply_add(power, r, exponential_terms[i]);
  power = multiply_add(power, r, 1.0f);
  return power * std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000u);
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
