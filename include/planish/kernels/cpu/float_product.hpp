#pragma once
// Products of floats that both change from call to call: both operands are packed on the way, a few cache blocks at a
// time. Sums run over rising terms, one after the other, and are kept in the result between runs of terms, so that no
// cut changes a bit.
#include <algorithm>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/learning_jobs.hpp>
#include <planish/kernels/cpu/pack_float_panel.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// What one register tile reads and writes.
struct ProductTile {
  const float* strip;    // [term][rows of the tile]
  const float* weights;  // [term][32]
  index depth;
  float* c;
  index c_row_stride, channels;
  bool adds;
};

/// Rows × a panel. `Whole`: all its channels are there.
template <int Rows, bool Whole>
void run_product_tile(const ProductTile& tile) noexcept {
  constexpr int vectors = float_tile_vectors(Rows);
  for (index part = 0; part < tile.channels; part += vectors * float_lanes) {
    FloatBatch sums[Rows][vectors];
    const auto for_sums = [&](auto&& body) __attribute__((always_inline)) {
      unroll<Rows * vectors>([&](auto i) __attribute__((always_inline)) {
        constexpr int r = decltype(i)::value / vectors, v = decltype(i)::value % vectors;
        const index column = part + v * float_lanes;
        body(sums[r][v], tile.c + r * tile.c_row_stride + column, std::max<index>(tile.channels - column, 0));
      });
    };
    if (tile.adds)
      for_sums([](FloatBatch & sum, const float* from, index lanes) __attribute__((always_inline)) {
        sum = Whole || lanes >= float_lanes ? FloatBatch::load_unaligned(from) : load_partial(from, lanes);
      });
    else
      for_sums([](FloatBatch & sum, const float*, index) __attribute__((always_inline)) { sum = FloatBatch(0.0f); });
    const float* a = tile.strip;
    const float* w = tile.weights + part;
    const auto step = [&]() __attribute__((always_inline)) {
      FloatBatch columns[vectors];
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        columns[v] = FloatBatch::load_unaligned(w + v * float_lanes);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const FloatBatch value(a[r]);
        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
          sums[r][v] = multiply_add(value, columns[v], sums[r][v]);
        });
      });
      a += Rows;
      w += panel_width;
    };
    index k = 0;
    // The sums of the next tile come from far away while this one is at work, a row at a time.
    constexpr index apart = 16;
    for (index row = Rows; row < 2 * Rows; ++row) {
      const float* const next = tile.c + row * tile.c_row_stride + part;
      __builtin_prefetch(next, 1);
      __builtin_prefetch(next + (vectors - 1) * float_lanes, 1);
      for (const index end = std::min(k + apart, tile.depth); k < end; ++k) step();
    }
    for (; k < tile.depth; ++k) step();
    for_sums([](const FloatBatch& sum, float* to, index lanes) __attribute__((always_inline)) {
      if (Whole || lanes >= float_lanes)
        sum.store_unaligned(to);
      else
        store_partial(sum, to, lanes);
    });
  }
}

}  // namespace detail

/// The rows of the strips [strips.begin, strips.end) of c in the channels of `panels`.
PLANISH_ENTRY void multiply_float_block(const FloatProduct& m, Range strips, Range panels,
                                        std::span<float> scratch) noexcept {
  const index depth = m.b.columns();
  for (index panel = panels.begin; panel < panels.end; ++panel) {
    pack_float_panel(m.b, panel, scratch.data());
    for (index strip = strips.begin; strip < strips.end; ++strip) {
      const index row = strip * product_strip_rows;
      const detail::ProductTile tile{m.strips + row * depth,
                                     scratch.data(),
                                     depth,
                                     m.c.row(row) + panel * panel_width,
                                     m.c.row_stride(),
                                     std::min(panel_width, m.c.columns() - panel * panel_width),
                                     m.adds};
      with_constant<most_float_rows>(static_cast<int>(std::min(product_strip_rows, m.c.rows() - row)),
                                     [&](auto height) {
                                       if (tile.channels == panel_width)
                                         detail::run_product_tile<height, true>(tile);
                                       else
                                         detail::run_product_tile<height, false>(tile);
                                     });
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
