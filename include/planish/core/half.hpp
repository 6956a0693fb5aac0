#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>

namespace planish {

/// IEEE binary16 as stored: 1 sign, 5 exponent, 10 fraction bits. Storage only; arithmetic happens in float.
struct Half {
  std::uint16_t bits;

  /// Rounds to nearest even; overflow becomes infinity, NaN stays NaN.
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE static constexpr Half from_float(float value) noexcept {
    const auto word = __builtin_bit_cast(std::uint32_t, value);
    const auto sign = static_cast<std::uint16_t>((word >> 16) & 0x8000u);
    const std::uint32_t magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // rounds to 65536 or above
    if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 lets the float unit round to steps of 2^-24
      const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
      return {static_cast<std::uint16_t>(sign | (__builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000u))};
    }
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    return {static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13))};
  }

  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr float to_float() const noexcept {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu, fraction = bits & 0x3ffu;
    if (exponent == 31) return __builtin_bit_cast(float, sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0) return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (fraction << 13));
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, magnitude));
  }
};

/// The upper half of a float: 1 sign, 8 exponent, 7 fraction bits. Storage only.
struct BFloat16 {
  std::uint16_t bits;

  /// Rounds to nearest even; NaN stays NaN.
  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE static constexpr BFloat16 from_float(float value) noexcept {
    const auto word = __builtin_bit_cast(std::uint32_t, value);
    if ((word & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((word >> 16) | 0x40u)};
    return {static_cast<std::uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16)};
  }

  [[nodiscard]] PLANISH_HOST_DEVICE PLANISH_ALWAYS_INLINE constexpr float to_float() const noexcept {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
};

}  // namespace planish
