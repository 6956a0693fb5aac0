#pragma once
// The streaming softmax of some lines over one page.
#include <cstdint>
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

/// Most lines that `soften` takes at once: enough to hide how long its chains are, few enough for the scores to stay in
/// the first-level cache.
inline constexpr index softened_lines = 12;

/// Running state of neighbouring lines.
struct SoftmaxStates {
  float* query_sum;    ///< Σ q
  float* query_scale;  ///< of integer queries, or null
  float* maximum;
  float* sum;
};

/// What one page means to some lines: Σ q e, then scores, then probabilities, then weights; [softened_lines][64].
struct PageWeights {
  alignas(64) float weight[softened_lines * page_tokens];
  alignas(64) float decay[softened_lines];       ///< 2^(old − new maximum)
  alignas(64) float correction[softened_lines];  ///< Σ weight · zero
  index count[softened_lines];                   ///< tokens that the line sees, rising
  // Integer weights: each is code · scale, and `weight` holds the code too.
  alignas(64) std::uint8_t code[softened_lines * page_tokens];
  alignas(64) float code_sum[softened_lines];
  float scale[softened_lines];
};

namespace detail {

inline constexpr int page_vectors = static_cast<int>(page_tokens / float_lanes);

/// Sixteen floats that start from `first` of the first vectors and join the others in order, as `reference::page_sum`
/// adds them.
template <class First, class Join>
PLANISH_ALWAYS_INLINE Sixteen join_vectors(const First& first, const Join& join) noexcept {
  Sixteen all;
  unroll<Sixteen::vectors>([&](auto v) __attribute__((always_inline)) { all.part[v] = first(v); });
  unroll<page_vectors - Sixteen::vectors>([&](auto v) __attribute__((always_inline)) {
    FloatBatch& part = all.part[v % Sixteen::vectors];
    part = join(part, std::integral_constant<int, v + Sixteen::vectors>{});
  });
  return all;
}

struct Larger {
  PLANISH_ALWAYS_INLINE float operator()(float a, float b) const noexcept { return a > b ? a : b; }
  PLANISH_ALWAYS_INLINE FloatBatch operator()(FloatBatch a, FloatBatch b) const noexcept { return larger(a, b); }
};
struct Plus {
  template <class T>
  PLANISH_ALWAYS_INLINE T operator()(T a, T b) const noexcept {
    return a + b;
  }
};

/// Σ q e becomes (Σ q e − zero Σ q) · scale where e are codes; in between, and where they are floats, it is multiplied
/// by the scale of an integer query.
template <bool IntegerQuery>
PLANISH_ALWAYS_INLINE void finish_dots(float* dots, float query_sum, float query_scale,
                                       const PageScales& keys) noexcept {
  const FloatBatch sum(query_sum), factor(query_scale), nothing(0.0f);
  const auto scaled = [&](FloatBatch dot) __attribute__((always_inline)) {
    return IntegerQuery ? multiply_add(dot, factor, nothing) : dot;
  };
  const auto finished = [&](index t) __attribute__((always_inline)) {
    const FloatBatch zero = FloatBatch::load_aligned(keys.zero + t), scale = FloatBatch::load_aligned(keys.scale + t);
    const FloatBatch dot = multiply_add(nothing - zero, sum, FloatBatch::load_aligned(dots + t));
    return multiply_add(scaled(dot), scale, nothing);
  };
  const index floats = keys.has_codes ? keys.float_tokens : page_tokens;
  if (floats == 0) {
    unroll<page_vectors>([&](auto v) __attribute__((always_inline)) {
      finished(v * float_lanes).store_aligned(dots + v * float_lanes);
    });
    return;
  }
  for (index t = 0; t < page_tokens; t += float_lanes) {
    alignas(64) float kept[FloatBatch::size], scores[FloatBatch::size];
    scaled(FloatBatch::load_aligned(dots + t)).store_aligned(kept);
    if (t + float_lanes > floats) finished(t).store_aligned(scores);
    for (index i = 0; i < float_lanes; ++i) dots[t + i] = t + i < floats ? kept[i] : scores[i];
  }
}

/// Tokens that a line does not see.
PLANISH_ALWAYS_INLINE void fill_unseen(PageWeights& page, index line, float value) noexcept {
  for (index t = page.count[line]; t < page_tokens; ++t) page.weight[line * page_tokens + t] = value;
}

}  // namespace detail

/// correction = Σ weight · zero of every line.
PLANISH_LAZY void correct_weights(PageWeights& page, index lines, const PageScales& values) noexcept {
  if (!values.has_codes) {
    for (index l = 0; l < lines; ++l) page.correction[l] = 0.0f;
    return;
  }
  alignas(64) float lanes[softened_lines * 16];
  for (index l = 0; l < lines; ++l) {
    const auto product = [&](auto v, FloatBatch sum) __attribute__((always_inline)) {
      return multiply_add(FloatBatch::load_aligned(page.weight + l * page_tokens + v * float_lanes),
                          FloatBatch::load_aligned(values.zero + v * float_lanes), sum);
    };
    detail::join_vectors(
        [&](auto v) __attribute__((always_inline)) { return product(v, FloatBatch(0.0f)); },
        [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return product(v, sum); })
        .store(lanes + 16 * l);
  }
  fold_lanes(lanes, lines, page.correction, detail::Plus{});
}

/// Turns Σ q e of a page into scores, those into p = 2^(score − maximum), exactly 0 from each line's count on, and then
/// into weights p · scale. One step for all lines before the next, because each is a chain of dependent
/// operations.
PLANISH_LAZY void soften(PageWeights& page, index lines, SoftmaxStates states, const PageScales& keys,
                   const PageScales& values) noexcept {
  alignas(64) float lanes[softened_lines * 16], folded[softened_lines];
  const auto at = [&](index line, auto v) __attribute__((always_inline)) {
    return page.weight + line * page_tokens + v * float_lanes;
  };
  for (index l = 0; l < lines; ++l) {
    float* const dots = page.weight + l * page_tokens;
    if (states.query_scale != nullptr)
      detail::finish_dots<true>(dots, states.query_sum[l], states.query_scale[l], keys);
    else if (keys.has_codes)
      detail::finish_dots<false>(dots, states.query_sum[l], 1.0f, keys);
    detail::fill_unseen(page, l, -std::numeric_limits<float>::infinity());
    const FloatBatch old(states.maximum[l]);  // never NaN
    detail::join_vectors(
        [&](auto v) __attribute__((always_inline)) { return larger(FloatBatch::load_aligned(at(l, v)), old); },
        [&](FloatBatch highest, auto v)
            __attribute__((always_inline)) { return larger(FloatBatch::load_aligned(at(l, v)), highest); })
        .store(lanes + 16 * l);
  }
  fold_lanes(lanes, lines, folded, detail::Larger{});
  for (index first = 0; first < lines; first += float_lanes) {
    const index now = lines - first < float_lanes ? lines - first : float_lanes;
    const FloatBatch highest = load_partial(folded + first, now);
    power_of_two(load_partial(states.maximum + first, now) - highest).store_aligned(page.decay + first);
    store_partial(highest, states.maximum + first, now);
  }
  for (index l = 0; l < lines; ++l) {
    const FloatBatch highest(states.maximum[l]);
    const auto power = [&](auto v) __attribute__((always_inline)) {
      const FloatBatch p = power_of_two(FloatBatch::load_aligned(at(l, v)) - highest);
      p.store_aligned(at(l, v));
      return p;
    };
    detail::join_vectors(
        power, [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return sum + power(v); })
        .store(lanes + 16 * l);
  }
  fold_lanes(lanes, lines, folded, detail::Plus{});
  for (index l = 0; l < lines; ++l) states.sum[l] = planish::multiply_add(states.sum[l], page.decay[l], folded[l]);
  if (!values.has_codes) return;
  for (index l = 0; l < lines; ++l) {
    unroll<detail::page_vectors>([&](auto v) __attribute__((always_inline)) {
      const auto scale = FloatBatch::load_aligned(values.scale + v * float_lanes);
      multiply_add(FloatBatch::load_aligned(at(l, v)), scale, FloatBatch(0.0f)).store_aligned(at(l, v));
    });
    detail::fill_unseen(page, l, 0.0f);  // a token that is not seen may hold NaN
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
