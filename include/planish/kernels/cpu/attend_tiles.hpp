#pragma once
// Register tiles of attention: a few query lines against one page of tokens.
#include <limits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cpu/exponential.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Lines of a register tile, and registers across it: 6 × 4 sums fit 32 registers, 6 × 2 fit 16.
inline constexpr int tile_lines = 6;
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int tile_registers = 4;
#else
inline constexpr int tile_registers = 2;
#endif

/// scores[line][token] = Σ query[line][i] · keys[i][token], i rising, for tokens [0, count) rounded up.
template <int Lines>
inline void score_tile(const float* query, index head_size, const float* keys, index count, float* scores) noexcept {
  constexpr int registers = tile_registers;
  for (index first = 0; first < count; first += registers * float_lanes) {
    FloatBatch sums[Lines][registers];
    unroll<Lines>([&](auto l) { unroll<registers>([&](auto v) { sums[l][v] = FloatBatch(0.0f); }); });
    for (index i = 0; i < head_size; ++i) {
      FloatBatch key[registers];
      unroll<registers>(
          [&](auto v) { key[v] = FloatBatch::load_unaligned(keys + i * page_tokens + first + v * float_lanes); });
      unroll<Lines>([&](auto l) {
        const FloatBatch q(query[l * head_size + i]);
        unroll<registers>([&](auto v) { sums[l][v] = multiply_add(q, key[v], sums[l][v]); });
      });
    }
    unroll<Lines>([&](auto l) {
      unroll<registers>(
          [&](auto v) { sums[l][v].store_unaligned(scores + l * page_tokens + first + v * float_lanes); });
    });
  }
}

/// Running state of one line.
struct SoftmaxState {
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
};

/// Folds 2 · Half floats onto the first, halves over one another.
template <int Half, class Join>
PLANISH_ALWAYS_INLINE void fold_lanes(float* lane, const Join& join) noexcept {
  unroll<Half>([&](auto i) { lane[i] = join(lane[i], lane[i + Half]); });
  if constexpr (Half > 1) fold_lanes<Half / 2>(lane, join);
}

/// Turns the scores of a page into 2^(score − maximum), exactly 0 from counts[line] on; decay[line] becomes 2^(old −
/// new maximum). One step for all lines before the next, because each is a chain of dependent operations.
template <int Lines>
inline void soften(float* scores, const index* counts, SoftmaxState* states, float* decay) noexcept {
  constexpr int lanes = static_cast<int>(float_lanes), batches = static_cast<int>(page_tokens) / lanes;
  constexpr int sums = 16 / lanes;
  float lane[Lines][16], maximum[Lines];
  for (int l = 0; l < Lines; ++l) {
    float* score = scores + l * page_tokens;
    for (index t = counts[l]; t < page_tokens; ++t) score[t] = -std::numeric_limits<float>::infinity();
    FloatBatch highest(states[l].maximum);
    unroll<batches>([&](auto v) {
      const auto next = FloatBatch::load_unaligned(score + v * lanes);
      highest = xsimd::select(next > highest, next, highest);
    });
    highest.store_unaligned(lane[l]);
  }
  for (int l = 0; l < Lines; ++l) {
    fold_lanes<lanes / 2>(lane[l], [](float a, float b) { return a > b ? a : b; });
    maximum[l] = lane[l][0];
    decay[l] = states[l].maximum - maximum[l];
    states[l].maximum = maximum[l];
  }
  for (int l = 0; l < Lines; ++l) {
    float* score = scores + l * page_tokens;
    const FloatBatch subtract(maximum[l]);
    FloatBatch sum[sums];
    unroll<batches>([&](auto v) {
      const FloatBatch p = power_of_two(FloatBatch::load_unaligned(score + v * lanes) - subtract);
      p.store_unaligned(score + v * lanes);
      if constexpr (v < sums)
        sum[v] = p;
      else
        sum[v % sums] = sum[v % sums] + p;
    });
    unroll<sums>([&](auto v) { sum[v].store_unaligned(lane[l] + v * lanes); });
  }
  for (int l = 0; l < Lines; ++l) {
    fold_lanes<8>(lane[l], [](float a, float b) { return a + b; });
    decay[l] = reference::power_of_two(decay[l]);
    states[l].sum = planish::multiply_add(states[l].sum, decay[l], lane[l][0]);
  }
}

/// totals[line][i] = totals[line][i] · decay[line] + Σ p[line][t] · values[t][i], t rising below counts[line] (rising
/// with the line), for `Registers` registers of channels.
template <int Lines, int Registers>
PLANISH_ALWAYS_INLINE void add_value_columns(const float* p, const index* counts, const float* decay,
                                             const float* values, index stride, float* totals) noexcept {
  FloatBatch sums[Lines][Registers];
  unroll<Lines>([&](auto l) {
    unroll<Registers>([&](auto v) {
      sums[l][v] = FloatBatch::load_unaligned(totals + l * stride + v * float_lanes) * FloatBatch(decay[l]);
    });
  });
  const index shared = counts[0];
  for (index t = 0; t < shared; ++t) {
    FloatBatch value[Registers];
    unroll<Registers>([&](auto v) { value[v] = FloatBatch::load_unaligned(values + t * stride + v * float_lanes); });
    unroll<Lines>([&](auto l) {
      const FloatBatch weight(p[l * page_tokens + t]);
      unroll<Registers>([&](auto v) { sums[l][v] = multiply_add(weight, value[v], sums[l][v]); });
    });
  }
  unroll<Lines>([&](auto l) {
    for (index t = shared; t < counts[l]; ++t) {
      const FloatBatch weight(p[l * page_tokens + t]);
      unroll<Registers>([&](auto v) {
        const auto value = FloatBatch::load_unaligned(values + t * stride + v * float_lanes);
        sums[l][v] = multiply_add(weight, value, sums[l][v]);
      });
    }
    unroll<Registers>([&](auto v) { sums[l][v].store_unaligned(totals + l * stride + v * float_lanes); });
  });
}

template <int Lines>
inline void add_values(const float* p, const index* counts, const float* decay, const float* values, index stride,
                       float* totals) noexcept {
  constexpr index wide = tile_registers * float_lanes;
  index i = 0;
  for (; i + wide <= stride; i += wide)
    add_value_columns<Lines, tile_registers>(p, counts, decay, values + i, stride, totals + i);
  for (; i < stride; i += float_lanes) add_value_columns<Lines, 1>(p, counts, decay, values + i, stride, totals + i);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
