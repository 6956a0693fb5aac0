#pragma once
// Sums, or maxima, of all the lanes of several vectors at once: sixteen floats join their upper half to their lower
// half, and so on, as `reference::fold_sums` does.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Sixteen floats.
struct Sixteen {
  static constexpr int vectors = 16 / static_cast<int>(float_lanes);
  FloatBatch part[vectors];

  PLANISH_ALWAYS_INLINE void store(float* to) const noexcept {
    unroll<vectors>([&](auto v) __attribute__((always_inline)) { part[v].store_unaligned(to + v * float_lanes); });
  }
};

namespace detail {

#if defined(__AVX512F__)
/// The folds of four vectors, in the first lane of each quarter.
template <class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fold_four(__m512 a, __m512 b, __m512 c, __m512 d,
                                                         const Join& join) noexcept {
  const auto halves = [&](__m512 x, __m512 y) __attribute__((always_inline)) {
    return join(FloatBatch(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0x44)),
                FloatBatch(_mm512_maskz_shuffle_f32x4(0xffff, x, y, 0xee)));
  };
  const FloatBatch ab = halves(a, b), cd = halves(c, d);
  FloatBatch all = join(FloatBatch(_mm512_maskz_shuffle_f32x4(0xffff, ab, cd, 0x88)),
                        FloatBatch(_mm512_maskz_shuffle_f32x4(0xffff, ab, cd, 0xdd)));
  all = join(all, FloatBatch(_mm512_maskz_permute_ps(0xffff, all, 0x4e)));
  return join(all, FloatBatch(_mm512_maskz_permute_ps(0xffff, all, 0xb1)));
}
#else
/// Folds 2 · Half floats onto the first, halves over one another.
template <int Half, class Join>
PLANISH_ALWAYS_INLINE void fold_floats(float* lane, const Join& join) noexcept {
  unroll<Half>([&](auto i) { lane[i] = join(lane[i], lane[i + Half]); });
  if constexpr (Half > 1) fold_floats<Half / 2>(lane, join);
}
#endif

}  // namespace detail

/// to[i] = the sixteen floats at lanes + 16 i, joined, for i below `count`; `join` takes two vectors or two floats. May
/// overwrite the lanes, and `to` up to a multiple of four.
template <class Join>
PLANISH_ALWAYS_INLINE void fold_lanes(float* lanes, index count, float* to, const Join& join) noexcept {
#if defined(__AVX512F__)
  const __m512i quarters = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
  for (index first = 0; first < count; first += 4) {
    const auto at = [&](index i) __attribute__((always_inline)) {
      return _mm512_loadu_ps(lanes + 16 * (first + i < count ? first + i : first));
    };
    const FloatBatch all = detail::fold_four(at(0), at(1), at(2), at(3), join);
    _mm_storeu_ps(to + first, _mm512_castps512_ps128(_mm512_maskz_permutexvar_ps(0xffff, quarters, all)));
  }
#else
  for (index i = 0; i < count; ++i) {
    detail::fold_floats<8>(lanes + 16 * i, join);
    to[i] = lanes[16 * i];
  }
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
