#pragma once
// Products of floats and codes in integers: the floats, times the scale of the codes that they meet, are rounded to 16
// bits by the largest of their row, sums of up to 512 products are exact, and are added up in float over rising terms.
// Two products to a lane and instruction where there is one for pairs of 16 bits.
#include <algorithm>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/pair_dots.hpp>
#include <planish/kernels/cpu/learning_jobs.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Panel `panel` of the codes as [pair of terms][32], a pair to a word.
inline void pack_pair_panel(QuantizedRowsView b, index panel, std::int32_t* to) noexcept {
  alignas(64) static constexpr std::int8_t none[panel_width] = {};
  const index column = panel * panel_width;  // a row has whole panels: what is behind `columns` is 0
  for (index k = 0; k < b.rows; k += 2, to += panel_width) {
    const std::int8_t *const first = b.row(k) + column, *const second = k + 1 < b.rows ? b.row(k + 1) + column : none;
    for (index j = 0; j < panel_width; ++j) to[j] = term_pair(first[j], second[j]);
  }
}

/// What one register tile reads and writes.
struct RoundedTile {
  const std::int32_t* strip;  // [pair][rows of the tile]
  const float* scales;        // rows
  const std::int32_t* codes;  // [pair][32]
  index pairs;
  float* c;
  index c_row_stride, channels;
  bool adds;
};

/// Rows × a panel. `Whole`: all its channels are there.
template <int Rows, bool Whole>
void run_rounded_tile(const RoundedTile& tile) noexcept {
  constexpr int vectors = float_tile_vectors(Rows);
  for (index part = 0; part < tile.channels; part += vectors * float_lanes) {
    IntBatch sums[Rows][vectors];
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      unroll<vectors>([&](auto v) __attribute__((always_inline)) { sums[r][v] = IntBatch(0); });
    });
    const std::int32_t* a = tile.strip;
    const std::int32_t* b = tile.codes + part;
    for (index p = 0; p < tile.pairs; ++p, a += Rows, b += panel_width) {
      IntBatch columns[vectors];
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        columns[v] = IntBatch::load_unaligned(b + v * float_lanes);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const IntBatch value(a[r]);
        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
          sums[r][v] = add_pair_dots(sums[r][v], value, columns[v]);
        });
      });
    }
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const FloatBatch scale(tile.scales[r]);
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        const index column = part + v * float_lanes, lanes = std::max<index>(tile.channels - column, 0);
        float* const to = tile.c + r * tile.c_row_stride + column;
        const bool whole = Whole || lanes >= float_lanes;
        const FloatBatch before = !tile.adds ? FloatBatch(0.0f)
                                  : whole    ? FloatBatch::load_unaligned(to)
                                             : load_partial(to, lanes);
        const FloatBatch sum = fused_multiply_add(xsimd::to_float(sums[r][v]), scale, before);
        if (whole)
          sum.store_unaligned(to);
        else
          store_partial(sum, to, lanes);
      });
    });
  }
}

}  // namespace detail

/// The rows of the strips [strips.begin, strips.end) of c in the columns of `panels`.
PLANISH_ENTRY void multiply_rounded_block(const RoundedProduct& m, Range strips, Range panels,
                                          std::span<std::int32_t> scratch) noexcept {
  const index pairs = rounded_pairs(m.b.rows);
  for (index panel = panels.begin; panel < panels.end; ++panel) {
    detail::pack_pair_panel(m.b, panel, scratch.data());
    for (index strip = strips.begin; strip < strips.end; ++strip) {
      const index row = strip * rounded_strip_rows;
      const detail::RoundedTile tile{m.strips + row * pairs,
                                     m.scales + row,
                                     scratch.data(),
                                     pairs,
                                     m.c.row(row) + panel * panel_width,
                                     m.c.row_stride(),
                                     std::min(panel_width, m.c.columns() - panel * panel_width),
                                     m.adds};
      with_constant<rounded_strip_rows>(static_cast<int>(std::min(rounded_strip_rows, m.c.rows() - row)),
                                        [&](auto height) {
                                          if (tile.channels == panel_width)
                                            detail::run_rounded_tile<height, true>(tile);
                                          else
                                            detail::run_rounded_tile<height, false>(tile);
                                        });
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
