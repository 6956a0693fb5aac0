#pragma once
// value ↔ code: the formula is written here and nowhere else; kernels are tested against it to the bit.
#include <cstdint>
#include <limits>

#include <planish/core/abi.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI {

/// What turns codes of one tile back into values: value = (code − zero_point) · scale.
struct Affine {
  float scale = 1.0f;
  std::int32_t zero_point = 0;
};

/// Scales below the least normal float stand for "all codes zero".
inline constexpr float least_scale = 0x1p-126f;

namespace detail {
// As constants of their own: device code may read them, but not call what makes them.
inline constexpr float greatest_float = std::numeric_limits<float>::max();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
}  // namespace detail

/// The Affine of a tile that holds NaN or infinity: everything computed from it is NaN.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr Affine not_finite_affine() noexcept { return {detail::not_a_number, 0}; }

/// Rounds half to even.
[[nodiscard]] PLANISH_HOST_DEVICE inline float round_half_even(float value) noexcept {
#if defined(__CUDA_ARCH__)
  return rintf(value);
#elif defined(__SSE4_1__) || defined(__aarch64__)
  return __builtin_rintf(value);
#else
  constexpr float integers_only = 0x1p23f;  // from here on every float is whole
  const float magnitude = value < 0 ? -value : value;
  if (!(magnitude < integers_only)) return value;
  const volatile float shifted = magnitude + integers_only;  // volatile: no excess precision, no re-association
  const float rounded = shifted - integers_only;
  return value < 0 ? -rounded : rounded;
#endif
}

namespace detail {
/// a · b rounded by itself, whatever is done with it: compilers that fuse products and sums across statements (g++,
/// nvcc) would give other scales than those that do not.
[[nodiscard]] PLANISH_HOST_DEVICE inline float rounded_product(float a, float b) noexcept {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#elif defined(__CUDACC__)
  const volatile float product = a * b;
  return product;
#elif defined(__GNUC__) && !defined(__clang__)
  return __builtin_assoc_barrier(a * b);
#else
  return a * b;
#endif
}
}  // namespace detail

/// Symmetric: s = max(c⁺·max(x, 0), c⁻·|min(x, 0)|) / (2^(b−1) − 1). A range that leads below `least_scale` has s = 1.
[[nodiscard]] PLANISH_HOST_DEVICE inline Affine symmetric_affine(ValueRange range, ClipPair clip, int bits) noexcept {
  const float up = clip.positive * (range.highest > 0.0f ? range.highest : 0.0f);
  const float down = clip.negative * (range.lowest < 0.0f ? -range.lowest : 0.0f);
  const float scale = (up > down ? up : down) / static_cast<float>((1 << (bits - 1)) - 1);
  if (scale < least_scale) return {};
  if (!(scale <= detail::greatest_float)) return not_finite_affine();
  return {scale, 0};
}

/// Asymmetric: s = (c⁺·max − c⁻·min) / (2^b − 1) over a range forced to contain 0, z = clamp(rint(−c⁻·min / s), 0, 2^b
/// − 1).
[[nodiscard]] PLANISH_HOST_DEVICE inline Affine asymmetric_affine(ValueRange range, ClipPair clip, int bits) noexcept {
  const float up = detail::rounded_product(clip.positive, range.highest > 0.0f ? range.highest : 0.0f);
  const float down = detail::rounded_product(clip.negative, range.lowest < 0.0f ? range.lowest : 0.0f);
  const float levels = static_cast<float>((1 << bits) - 1);
  const float scale = (up - down) / levels;
  if (scale < least_scale) return {};
  if (!(scale <= detail::greatest_float)) return not_finite_affine();
  float zero = round_half_even(-down / scale);
  if (zero > levels) zero = levels;
  return {scale, static_cast<std::int32_t>(zero)};
}

/// One of the two, chosen at run time.
[[nodiscard]] PLANISH_HOST_DEVICE inline Affine affine_of(ValueRange range, ClipPair clip, int bits,
                                                          Symmetry symmetry) noexcept {
  return symmetry == Symmetry::symmetric ? symmetric_affine(range, clip, bits) : asymmetric_affine(range, clip, bits);
}

/// code = clamp(rint(x / s) + z), a true division in that order. The value must be finite.
[[nodiscard]] PLANISH_HOST_DEVICE inline std::int32_t to_code(float value, Affine affine, CodeRange range) noexcept {
  float steps = round_half_even(value / affine.scale);
  const float lowest = static_cast<float>(range.lowest - affine.zero_point);
  const float highest = static_cast<float>(range.highest - affine.zero_point);
  steps = steps < lowest ? lowest : steps;
  steps = steps > highest ? highest : steps;
  return static_cast<std::int32_t>(steps) + affine.zero_point;
}

/// value = (code − z) · s.
[[nodiscard]] PLANISH_HOST_DEVICE inline float to_value(std::int32_t code, Affine affine) noexcept {
  return static_cast<float>(code - affine.zero_point) * affine.scale;
}

/// True for everything but NaN and the infinities, decided by the bits.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr bool is_finite(float value) noexcept {
  return (__builtin_bit_cast(std::uint32_t, value) & 0x7f800000u) != 0x7f800000u;
}

}  // namespace planish::inline PLANISH_ABI
