#pragma once
// Vectors put together from runs of four floats that lie apart, and taken apart again.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Runs at from, from + distance, …: as many as fill a vector.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch load_runs(const float* from, index distance) noexcept {
#if defined(__AVX512F__)
  __m512 lanes = _mm512_castps128_ps512(_mm_loadu_ps(from));
  lanes = _mm512_insertf32x4(lanes, _mm_loadu_ps(from + distance), 1);
  lanes = _mm512_insertf32x4(lanes, _mm_loadu_ps(from + 2 * distance), 2);
  return FloatBatch(_mm512_insertf32x4(lanes, _mm_loadu_ps(from + 3 * distance), 3));
#elif defined(__AVX__)
  const __m256 first = _mm256_castps128_ps256(_mm_loadu_ps(from));
  return FloatBatch(_mm256_insertf128_ps(first, _mm_loadu_ps(from + distance), 1));
#else
  static_assert(float_lanes == 4, "planish: write load_runs for vectors of this length");
  (void)distance;
  return FloatBatch::load_unaligned(from);
#endif
}

/// The inverse of load_runs.
PLANISH_ALWAYS_INLINE void store_runs(FloatBatch value, float* to, index distance) noexcept {
#if defined(__AVX512F__)
  _mm_storeu_ps(to, _mm512_castps512_ps128(value));
  _mm_storeu_ps(to + distance, _mm512_extractf32x4_ps(value, 1));
  _mm_storeu_ps(to + 2 * distance, _mm512_extractf32x4_ps(value, 2));
  _mm_storeu_ps(to + 3 * distance, _mm512_extractf32x4_ps(value, 3));
#elif defined(__AVX__)
  _mm_storeu_ps(to, _mm256_castps256_ps128(value));
  _mm_storeu_ps(to + distance, _mm256_extractf128_ps(value, 1));
#else
  (void)distance;
  value.store_unaligned(to);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
