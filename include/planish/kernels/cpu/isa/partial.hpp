#pragma once
// Vectors whose last lanes lie beyond the end of a row: loaded as zeros, never stored.
#include <cstdint>

#include <planish/kernels/cpu/simd.hpp>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace planish::inline PLANISH_ABI::kernels::cpu {

#if defined(__AVX__) && !defined(__AVX512F__)
namespace detail {
/// Sign bits set in the first `count` of 8 lanes.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m256i lane_mask(index count) noexcept {
  static constexpr std::int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(window + 8 - count));
}
}  // namespace detail
#endif

/// `count` floats, 0 ≤ count ≤ float_lanes, and zeros in the other lanes.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch load_partial(const float* from, index count) noexcept {
#if defined(__AVX512F__)
  return FloatBatch(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), from));
#elif defined(__AVX__)
  return FloatBatch(_mm256_maskload_ps(from, detail::lane_mask(count)));
#else
  alignas(64) float lanes[FloatBatch::size] = {};
  for (index i = 0; i < count; ++i) lanes[i] = from[i];
  return FloatBatch::load_aligned(lanes);
#endif
}

/// Stores the first `count` lanes.
PLANISH_ALWAYS_INLINE void store_partial(FloatBatch value, float* to, index count) noexcept {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), value);
#elif defined(__AVX__)
  _mm256_maskstore_ps(to, detail::lane_mask(count), value);
#else
  alignas(64) float lanes[FloatBatch::size];
  value.store_aligned(lanes);
  for (index i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

PLANISH_ALWAYS_INLINE void store_partial(IntBatch value, std::int32_t* to, index count) noexcept {
#if defined(__AVX512F__)
  _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1u << count) - 1u), value);
#elif defined(__AVX2__)
  _mm256_maskstore_epi32(to, detail::lane_mask(count), value);
#else
  alignas(64) std::int32_t lanes[IntBatch::size];
  value.store_aligned(lanes);
  for (index i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
