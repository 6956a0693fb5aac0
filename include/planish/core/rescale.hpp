#pragma once
// The float epilogue of every integer product: one written order of operations, each rounding explicit.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// a · b + c with one rounding, whatever the compiler would do with the plain expression.
[[nodiscard]] PLANISH_HOST_DEVICE inline float fused_multiply_add(float a, float b, float c) noexcept {
#if defined(__CUDA_ARCH__)
  return fmaf(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

/// Term of a long float sum: one rounding where the target has the instruction, else two (never a library call per
/// term). Sums of such terms, added in order of rising index, are equal on every backend of one build.
template <class T>
[[nodiscard]] PLANISH_HOST_DEVICE inline T multiply_add(T a, T b, T c) noexcept {
#if defined(__FMA__) || defined(__CUDA_ARCH__) || defined(__aarch64__)
  return std::fma(a, b, c);
#else
  return a * b + c;  // no fused instruction on this target, so nothing to contract to
#endif
}

/// y = (float(acc) · s_token) · s_channel + bias, the last two steps fused.
[[nodiscard]] PLANISH_HOST_DEVICE inline float rescale(std::int32_t accumulator, float token_scale, float channel_scale,
                                                       float bias) noexcept {
  return fused_multiply_add(static_cast<float>(accumulator) * token_scale, channel_scale, bias);
}

/// Group-wise weights: partial sums over groups in rising order, each partial = float(acc) · s_group + partial, fused.
[[nodiscard]] PLANISH_HOST_DEVICE inline float add_group(std::int32_t accumulator, float group_scale,
                                                         float partial) noexcept {
  return fused_multiply_add(static_cast<float>(accumulator), group_scale, partial);
}

/// y = partial · s_token + bias, fused.
[[nodiscard]] PLANISH_HOST_DEVICE inline float rescale_groups(float partial, float token_scale, float bias) noexcept {
  return fused_multiply_add(partial, token_scale, bias);
}

/// Longest row of codes whose exact integer product cannot leave int32: 2^31 / (128 · 128) − 1.
inline constexpr std::ptrdiff_t most_columns = 131071;

}  // namespace planish::inline PLANISH_ABI
