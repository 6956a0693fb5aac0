#pragma once
// The streaming softmax of some lines over one page, or of few lines over a few pages.
#include <algorithm>
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

/// Most lines that `soften` takes at once, times pages: enough to hide how long its chains are, few enough for the
/// scores to stay in the first-level cache.
inline constexpr index softened_lines = 12;

/// Most pages that few lines take at once.
inline constexpr index most_pages_together = 4;

/// Running state of neighbouring lines.
struct SoftmaxStates {
  float* query_sum;    ///< Σ q
  float* query_scale;  ///< of integer queries, or null
  float* maximum;
  float* sum;
};

/// Scales and zero points of one page of keys and of values.
struct PagePairScales {
  PageScales keys, values;
};

/// What some pages mean to some lines, page by page: Σ q e, then scores, then weights; [pages · lines][64]. Line l of
/// page p is in place p · lines + l.
struct PageWeights {
  static constexpr index room = 16;  // for whole vectors of places
  static_assert(room >= softened_lines && room % float_lanes == 0);

  alignas(64) float weight[softened_lines * page_tokens];
  alignas(64) float maximum[room];     ///< up to this page
  alignas(64) float decay[room];       ///< 2^(old − new maximum)
  alignas(64) float correction[room];  ///< Σ weight · zero
  index count[softened_lines];         ///< tokens that the line sees, rising
  // Integer weights: each is code · scale, and `weight` holds the code too.
  alignas(64) std::uint8_t code[softened_lines * page_tokens];
  alignas(64) float code_sum[room];
  alignas(64) float scale[room];

  [[nodiscard]] PLANISH_ALWAYS_INLINE float* at(index place, int vector) noexcept {
    return weight + place * page_tokens + vector * float_lanes;
  }
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
PLANISH_ALWAYS_INLINE void fill_unseen(PageWeights& page, index place, float value) noexcept {
  for (index t = page.count[place]; t < page_tokens; t += float_lanes)
    store_partial(FloatBatch(value), page.weight + place * page_tokens + t, std::min(page_tokens - t, float_lanes));
}

}  // namespace detail

/// correction = Σ weight · zero of every line and page.
PLANISH_LAZY void correct_weights(PageWeights& page, index lines, index pages, const PagePairScales* scales) noexcept {
  alignas(64) float lanes[softened_lines * 16];
  for (index p = 0, l = 0; p < pages; ++p) {
    const PageScales& values = scales[p].values;
    if (!values.has_codes) {
      std::fill_n(lanes + 16 * l, 16 * lines, 0.0f);
      l += lines;
      continue;
    }
    for (const index end = l + lines; l < end; ++l) {
      const auto product = [&](auto v, FloatBatch sum) __attribute__((always_inline)) {
        return multiply_add(FloatBatch::load_aligned(page.at(l, v)),
                            FloatBatch::load_aligned(values.zero + v * float_lanes), sum);
      };
      detail::join_vectors(
          [&](auto v) __attribute__((always_inline)) { return product(v, FloatBatch(0.0f)); },
          [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return product(v, sum); })
          .store(lanes + 16 * l);
    }
  }
  fold_lanes(lanes, pages * lines, page.correction, detail::Plus{});
}

/// Turns Σ q e of some pages, in order, into scores, those into p = 2^(score − maximum), exactly 0 from each line's
/// count on, and then into weights p · scale. One step for all lines and pages before the next, because each is a chain
/// of dependent operations.
PLANISH_LAZY void soften(PageWeights& page, index lines, index pages, SoftmaxStates states,
                         const PagePairScales* scales) noexcept {
  alignas(64) float lanes[softened_lines * 16], folded[PageWeights::room];
  constexpr float none = -std::numeric_limits<float>::infinity();
  const index places = pages * lines;
  for (index p = 0; p < pages; ++p) {
    const PageScales& keys = scales[p].keys;
    for (index l = 0; l < lines; ++l) {
      const index place = p * lines + l;
      float* const dots = page.at(place, 0);
      if (states.query_scale != nullptr)
        detail::finish_dots<true>(dots, states.query_sum[l], states.query_scale[l], keys);
      else if (keys.has_codes)
        detail::finish_dots<false>(dots, states.query_sum[l], 1.0f, keys);
      detail::fill_unseen(page, place, none);
      const FloatBatch lowest(none);  // never NaN
      detail::join_vectors(
          [&](auto v)
              __attribute__((always_inline)) { return larger(FloatBatch::load_aligned(page.at(place, v)), lowest); },
          [&](FloatBatch highest, auto v)
              __attribute__((always_inline)) { return larger(FloatBatch::load_aligned(page.at(place, v)), highest); })
          .store(lanes + 16 * place);
    }
  }
  fold_lanes(lanes, places, folded, detail::Larger{});
  for (index l = 0; l < lines; ++l) {
    float highest = states.maximum[l];
    for (index place = l; place < places; place += lines) {
      page.decay[place] = highest;
      highest = detail::Larger{}(folded[place], highest);
      page.maximum[place] = highest;
    }
    states.maximum[l] = highest;
  }
  for (index first = 0; first < places; first += float_lanes) {
    const index now = std::min(places - first, float_lanes);
    power_of_two(load_partial(page.decay + first, now) - load_partial(page.maximum + first, now))
        .store_aligned(page.decay + first);
  }
  for (index p = 0; p < pages; ++p) {
    const PageScales& values = scales[p].values;
    for (index place = p * lines; place < (p + 1) * lines; ++place) {
      const FloatBatch highest(page.maximum[place]);
      const auto weigh = [&](auto has_codes) __attribute__((always_inline)) {
        const auto power = [&](auto v) __attribute__((always_inline)) {
          float* const at = page.at(place, v);
          const FloatBatch probability = power_of_two(FloatBatch::load_aligned(at) - highest);
          if constexpr (decltype(has_codes)::value)
            multiply_add(probability, FloatBatch::load_aligned(values.scale + v * float_lanes), FloatBatch(0.0f))
                .store_aligned(at);
          else
            probability.store_aligned(at);
          return probability;
        };
        detail::join_vectors(
            power, [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return sum + power(v); })
            .store(lanes + 16 * place);
      };
      if (values.has_codes) {
        weigh(std::true_type{});
        detail::fill_unseen(page, place, 0.0f);  // a token that is not seen may hold NaN
      } else {
        weigh(std::false_type{});
      }
    }
  }
  fold_lanes(lanes, places, folded, detail::Plus{});
  for (index l = 0; l < lines; ++l)
    for (index place = l; place < places; place += lines)
      states.sum[l] = planish::multiply_add(states.sum[l], page.decay[place], folded[place]);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
