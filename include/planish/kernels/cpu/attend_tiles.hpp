#pragma once
// Register tiles of attention over floats: a few query lines against one page of tokens.
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/cache_rows.hpp>
#include <planish/kernels/cpu/isa/add_product.hpp>
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

/// Queries of neighbouring lines, already multiplied by query_scale: [lines][stride], zeros behind the head size.
struct QueryLines {
  const float* query;
  index stride;
};

/// `Registers` registers of tokens of `score_tile`, from `keys` on.
template <int Lines, int Registers>
PLANISH_ALWAYS_INLINE void score_tokens(const QueryLines& lines, index head_size, const float* keys,
                                        float* dots) noexcept {
  FloatBatch sums[Lines][Registers];
  unroll<Lines>([&](auto l) { unroll<Registers>([&](auto v) { sums[l][v] = FloatBatch(0.0f); }); });
  for (index i = 0; i < head_size; ++i) {
    FloatBatch key[Registers];
    unroll<Registers>([&](auto v) { key[v] = FloatBatch::load_unaligned(keys + i * page_tokens + v * float_lanes); });
    unroll<Lines>([&](auto l) {
      const FloatBatch q(lines.query[l * lines.stride + i]);
      unroll<Registers>([&](auto v) { add_product(sums[l][v], q, key[v]); });
    });
  }
  unroll<Lines>([&](auto l) {
    unroll<Registers>([&](auto v) { sums[l][v].store_unaligned(dots + l * page_tokens + v * float_lanes); });
  });
}

/// dots[line][token] = Σ query[line][i] · keys[i][token], i rising, for tokens [0, count) rounded up.
template <int Lines>
inline void score_tile(const QueryLines& lines, index head_size, const float* keys, index count, float* dots) noexcept {
  constexpr index wide = tile_registers * float_lanes, narrow = wide / 2;
  for (index first = 0; first < count; first += wide) {
    if (count - first > narrow)
      score_tokens<Lines, tile_registers>(lines, head_size, keys + first, dots + first);
    else
      score_tokens<Lines, tile_registers / 2>(lines, head_size, keys + first, dots + first);
  }
}

/// totals[line][i] = totals[line][i] · decay[line] − correction[line] + Σ w[line][t] · values[t][i], t rising below
/// counts[line] (rising with the line), for `Registers` registers of channels.
template <int Lines, int Registers>
PLANISH_ALWAYS_INLINE void add_value_columns(const float* w, const index* counts, const float* decay,
                                             const float* correction, const float* values, index stride,
                                             float* totals) noexcept {
  FloatBatch sums[Lines][Registers];
  unroll<Lines>([&](auto l) {
    unroll<Registers>([&](auto v) {
      sums[l][v] = multiply_add(FloatBatch::load_unaligned(totals + l * stride + v * float_lanes), FloatBatch(decay[l]),
                                FloatBatch(-correction[l]));
    });
  });
  const index shared = counts[0];
  for (index t = 0; t < shared; ++t) {
    FloatBatch value[Registers];
    unroll<Registers>([&](auto v) { value[v] = FloatBatch::load_unaligned(values + t * stride + v * float_lanes); });
    unroll<Lines>([&](auto l) {
      const FloatBatch weight(w[l * page_tokens + t]);
      unroll<Registers>([&](auto v) { add_product(sums[l][v], weight, value[v]); });
    });
  }
  unroll<Lines>([&](auto l) {
    for (index t = shared; t < counts[l]; ++t) {
      const FloatBatch weight(w[l * page_tokens + t]);
      unroll<Registers>([&](auto v) {
        const auto value = FloatBatch::load_unaligned(values + t * stride + v * float_lanes);
        sums[l][v] = multiply_add(weight, value, sums[l][v]);
      });
    }
    unroll<Registers>([&](auto v) { sums[l][v].store_unaligned(totals + l * stride + v * float_lanes); });
  });
}

template <int Lines>
inline void add_values(const float* w, const index* counts, const float* decay, const float* correction,
                       const float* values, index stride, float* totals) noexcept {
  constexpr index wide = tile_registers * float_lanes;
  index i = 0;
  for (; i + wide <= stride; i += wide)
    add_value_columns<Lines, tile_registers>(w, counts, decay, correction, values + i, stride, totals + i);
  for (; i < stride; i += float_lanes)
    add_value_columns<Lines, 1>(w, counts, decay, correction, values + i, stride, totals + i);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
