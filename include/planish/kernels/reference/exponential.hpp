#pragma once
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>

namespace planish::inline PLANISH_ABI::kernels {

/// 2^r = 1 + c₁ r + … + c₆ r⁶ on [−1/2, 1/2], relative error 1e-8: (2^r − 1) / r interpolated at Chebyshev nodes. The
/// constant is exactly 1, so 2^0 is 1.
inline constexpr float exponential_terms[] = {0x1.62e43p-1f,  0x1.ebfbep-3f,   0x1.c6af6cp-5f,
                                              0x1.3b2a54p-7f, 0x1.5f0890p-10f, 0x1.44138ap-13f};

/// Adding it rounds to a whole number n and leaves n in the low bits.
inline constexpr float exponential_round = 0x1.8p23f;

/// Powers below 2^−126 count as zero.
inline constexpr float exponential_least = -126.0f;

}  // namespace planish::inline PLANISH_ABI::kernels

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
