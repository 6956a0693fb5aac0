#pragma once
// The streaming softmax of a few lines over one page.
#include <limits>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>
#include <planish/kernels/cpu/exponential.hpp>
#include <planish/kernels/cpu/isa/fold_lanes.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Running state of neighbouring lines.
struct SoftmaxStates {
  float* maximum;
  float* sum;
};

namespace detail {

inline constexpr int page_vectors = static_cast<int>(page_tokens / float_lanes);

/// Sixteen floats that start from the first vectors and join the others in order, as `reference::page_sum` adds them.
template <class At, class Join>
[[nodiscard]] PLANISH_ALWAYS_INLINE Sixteen join_vectors(const At& at, const Join& join) noexcept {
  Sixteen all;
  unroll<Sixteen::vectors>([&](auto v) __attribute__((always_inline)) { all.part[v] = at(v); });
  unroll<page_vectors - Sixteen::vectors>([&](auto v) __attribute__((always_inline)) {
    FloatBatch& part = all.part[v % Sixteen::vectors];
    part = join(part, at(std::integral_constant<int, v + Sixteen::vectors>{}));
  });
  return all;
}

}  // namespace detail

/// Turns the scores of a page into p = 2^(score − maximum), exactly 0 from counts[line] on, and then into weights p ·
/// scale if `scales` is given; decay[line] becomes 2^(old − new maximum), correction[line] Σ weight · zero. One step for
/// all lines before the next, because each is a chain of dependent operations.
template <int Lines>
inline void soften(float* scores, const index* counts, SoftmaxStates states, const PageScales* scales, float* decay,
                   float* correction) noexcept {
  constexpr auto greater = [](auto a, auto b) __attribute__((always_inline)) {
    if constexpr (std::is_same_v<decltype(a), float>)
      return a > b ? a : b;
    else
      return xsimd::select(a > b, a, b);
  };
  constexpr auto plus = [](auto a, auto b) __attribute__((always_inline)) { return a + b; };
  Sixteen lanes[Lines];
  float maximum[Lines], sum[Lines];
  for (int l = 0; l < Lines; ++l)
    for (index t = counts[l]; t < page_tokens; ++t)
      scores[l * page_tokens + t] = -std::numeric_limits<float>::infinity();
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    const float* const score = scores + l * page_tokens;
    const FloatBatch old(states.maximum[l]);
    lanes[l] = detail::join_vectors(
        [&](auto v) __attribute__((always_inline)) {
          const auto next = FloatBatch::load_unaligned(score + v * float_lanes);
          if constexpr (decltype(v)::value < Sixteen::vectors)
            return xsimd::select(next > old, next, old);  // never NaN
          else
            return next;
        },
        [](FloatBatch highest, FloatBatch next)
            __attribute__((always_inline)) { return xsimd::select(next > highest, next, highest); });
  });
  fold_lanes(lanes, maximum, greater, greater);
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    float* const score = scores + l * page_tokens;
    const FloatBatch highest(maximum[l]);
    lanes[l] = detail::join_vectors(
        [&](auto v) __attribute__((always_inline)) {
          const FloatBatch p = power_of_two(FloatBatch::load_unaligned(score + v * float_lanes) - highest);
          p.store_unaligned(score + v * float_lanes);
          return p;
        },
        plus);
  });
  fold_lanes(lanes, sum, plus, plus);
  for (index first = 0; first < Lines; first += float_lanes) {
    const index now = Lines - first < float_lanes ? Lines - first : float_lanes;
    const FloatBatch highest = load_partial(maximum + first, now);
    const FloatBatch factor = power_of_two(load_partial(states.maximum + first, now) - highest);
    store_partial(factor, decay + first, now);
    store_partial(highest, states.maximum + first, now);
    store_partial(multiply_add(load_partial(states.sum + first, now), factor, load_partial(sum + first, now)),
                  states.sum + first, now);
  }
  if (scales == nullptr) {
    for (int l = 0; l < Lines; ++l) correction[l] = 0.0f;
    return;
  }
  unroll<Lines>([&](auto l) __attribute__((always_inline)) {
    float* const weight = scores + l * page_tokens;
    unroll<detail::page_vectors>([&](auto v) __attribute__((always_inline)) {
      const auto p = FloatBatch::load_unaligned(weight + v * float_lanes);
      multiply_add(p, FloatBatch::load_aligned(scales->scale + v * float_lanes), FloatBatch(0.0f))
          .store_unaligned(weight + v * float_lanes);
    });
    // a token that is not seen may hold NaN
    for (index t = counts[l]; t < page_tokens; ++t) weight[t] = 0.0f;
    Sixteen& all = lanes[l];
    unroll<Sixteen::vectors>([&](auto v) __attribute__((always_inline)) { all.part[v] = FloatBatch(0.0f); });
    unroll<detail::page_vectors>([&](auto v) __attribute__((always_inline)) {
      all.part[v % Sixteen::vectors] = multiply_add(FloatBatch::load_unaligned(weight + v * float_lanes),
                                                    FloatBatch::load_aligned(scales->zero + v * float_lanes),
                                                    all.part[v % Sixteen::vectors]);
    });
  });
  fold_lanes(lanes, correction, plus, plus);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
