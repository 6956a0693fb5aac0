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

/// Turns the scores of a page into 2^(score − maximum), exactly 0 from `count` on, and returns 2^(old − new maximum).
[[nodiscard]] inline float soften(float* scores, index count, SoftmaxState& state) noexcept {
  constexpr int batches = static_cast<int>(page_tokens / float_lanes);
  constexpr int lanes = static_cast<int>(float_lanes);
  for (index t = count; t < page_tokens; ++t) scores[t] = -std::numeric_limits<float>::infinity();
  FloatBatch highest(state.maximum);
  for (int v = 0; v < batches; ++v) {
    const auto score = FloatBatch::load_unaligned(scores + v * lanes);
    highest = xsimd::select(score > highest, score, highest);
  }
  float lane[16];
  highest.store_unaligned(lane);
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] = lane[i] > lane[i + half] ? lane[i] : lane[i + half];
  const float maximum = lane[0];
  const FloatBatch subtract(maximum);
  constexpr int sums = 16 / lanes;
  FloatBatch sum[sums];
  unroll<batches>([&](auto v) {
    const FloatBatch p = power_of_two(FloatBatch::load_unaligned(scores + v * lanes) - subtract);
    p.store_unaligned(scores + v * lanes);
    if constexpr (v < sums)
      sum[v] = p;
    else
      sum[v % sums] = sum[v % sums] + p;
  });
  unroll<sums>([&](auto v) { sum[v].store_unaligned(lane + v * lanes); });
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  const float decay = reference::power_of_two(state.maximum - maximum);
  state.sum = planish::multiply_add(state.sum, decay, lane[0]);
  state.maximum = maximum;
  return decay;
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
