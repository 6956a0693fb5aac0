#pragma once
// Sums, or maxima, of all the lanes of several vectors at once: a vector of sixteen lanes joins its upper half to its
// lower half, and so on, as `reference::fold_sums` does.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Sixteen floats.
struct Sixteen {
  static constexpr int vectors = 16 / static_cast<int>(float_lanes);
  FloatBatch part[vectors];
};

namespace detail {

/// Folds 2 · Half floats onto the first, halves over one another.
template <int Half, class Join>
PLANISH_ALWAYS_INLINE void fold_floats(float* lane, const Join& join) noexcept {
  unroll<Half>([&](auto i) { lane[i] = join(lane[i], lane[i + Half]); });
  if constexpr (Half > 1) fold_floats<Half / 2>(lane, join);
}

#if defined(__AVX512F__)
/// Joins the halves of a to lanes 0 to 7, those of b to lanes 8 to 15.
template <class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fold_halves(FloatBatch a, FloatBatch b, const Join& join) noexcept {
  const FloatBatch lower(_mm512_maskz_shuffle_f32x4(0xffff, a, b, 0x44));
  const FloatBatch upper(_mm512_maskz_shuffle_f32x4(0xffff, a, b, 0xee));
  return join(lower, upper);
}
/// Joins quarters: lanes 0 to 3 and 4 to 7 are a's first and second half, the others b's.
template <class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fold_quarters(FloatBatch a, FloatBatch b, const Join& join) noexcept {
  const FloatBatch lower(_mm512_maskz_shuffle_f32x4(0xffff, a, b, 0x88));
  const FloatBatch upper(_mm512_maskz_shuffle_f32x4(0xffff, a, b, 0xdd));
  return join(lower, upper);
}
/// Four vectors into the first lanes of each quarter.
template <class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fold_four(FloatBatch a, FloatBatch b, FloatBatch c, FloatBatch d,
                                                         const Join& join) noexcept {
  FloatBatch all = fold_quarters(fold_halves(a, b, join), fold_halves(c, d, join), join);
  all = join(all, FloatBatch(_mm512_maskz_permute_ps(0xffff, all, 0x4e)));
  return join(all, FloatBatch(_mm512_maskz_permute_ps(0xffff, all, 0xb1)));
}
#endif

}  // namespace detail

/// to[i] = the lanes of vectors[i], joined; `join` takes two vectors, `join_floats` two floats, and both do the same.
template <int Count, class Join, class JoinFloats>
PLANISH_ALWAYS_INLINE void fold_lanes(const Sixteen (&vectors)[Count], float* to, const Join& join,
                                      const JoinFloats& join_floats) noexcept {
#if defined(__AVX512F__)
  static_cast<void>(join_floats);
  unroll<(Count + 3) / 4>([&](auto four) __attribute__((always_inline)) {
    constexpr int first = 4 * decltype(four)::value, left = Count - first;
    const auto at = [&](int i) __attribute__((always_inline)) { return vectors[first + (i < left ? i : 0)].part[0]; };
    const FloatBatch all = detail::fold_four(at(0), at(1), at(2), at(3), join);
    // the first lane of every quarter
    _mm512_mask_compressstoreu_ps(to + first, static_cast<__mmask16>(0x1111 & ((1 << (4 * (left < 4 ? left : 4))) - 1)),
                                  all);
  });
#else
  static_cast<void>(join);
  for (int i = 0; i < Count; ++i) {
    float lane[16];
    unroll<Sixteen::vectors>([&](auto v) { vectors[i].part[v].store_unaligned(lane + v * float_lanes); });
    detail::fold_floats<8>(lane, join_floats);
    to[i] = lane[0];
  }
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
