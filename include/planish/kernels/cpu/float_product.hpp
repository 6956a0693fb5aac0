#pragma once
// Products of floats that both change from call to call: many rows times panels packed a moment ago. In contrast to
// multiply_float it sums K in chunks and keeps its running sums in the result itself, so that what it moves per
// operation stays small whatever the shape; its bits depend on the shape alone.
#include <algorithm>
#include <cstring>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/float_tiles.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/transpose.hpp>
#include <planish/packing/float_panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

inline constexpr index product_chunk = 256;       // terms of one run of sums: a panel's share fills the first cache
inline constexpr index product_block_rows = 384;  // rows of a block: its chunk stays in the second

/// Scratch of one worker, in elements: a chunk of a block, copied.
inline constexpr index product_scratch_size = product_block_rows * product_chunk;

/// c (m × n) = or += a · wᵀ. The rows or the columns of a are dense; the rows of c are.
struct FloatProduct {
  MatrixView<const float> a;
  FloatPanelsView w;
  MatrixView<float> c;
  bool adds = false;
};

namespace detail {

/// What one register tile reads and writes. Element (r, k) of a lies at a[r · a_row_stride + k · a_column_stride].
struct ProductTile {
  const float* a;
  index a_row_stride, a_column_stride;
  const float* weights;  // [k][32]
  index depth;
  float* c;
  index c_row_stride, channels;
  bool adds;
};

/// Rows × a panel. `Strip`: the tile's rows lie side by side in a, Rows apart from term to term.
template <int Rows, bool Strip>
void run_product_tile(const ProductTile& tile) noexcept {
  constexpr int vectors = float_tile_vectors(Rows);
  // Three rows share a pointer, as far as scaled addresses reach: a pointer for each would not fit into registers.
  constexpr int together = Strip ? Rows : 3, pointers = (Rows + together - 1) / together;
  const index row_stride = Strip ? 1 : tile.a_row_stride, column_stride = Strip ? Rows : tile.a_column_stride;
  for (index part = 0; part < tile.channels; part += vectors * float_lanes) {
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const float* line = tile.c + r * tile.c_row_stride + part;
      __builtin_prefetch(line, 1);
      __builtin_prefetch(line + (vectors - 1) * float_lanes, 1);
    });
    FloatBatch sums[Rows][vectors];
    unroll<Rows * vectors>([&](auto i) __attribute__((always_inline)) {
      sums[decltype(i)::value / vectors][decltype(i)::value % vectors] = FloatBatch(0.0f);
    });
    const float* at[pointers];
    unroll<pointers>([&](auto p) __attribute__((always_inline)) { at[p] = tile.a + p * together * row_stride; });
    const float* w = tile.weights + part;
    for (index k = 0; k < tile.depth; ++k, w += panel_width) {
      FloatBatch columns[vectors];
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        columns[v] = FloatBatch::load_unaligned(w + v * float_lanes);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        constexpr int row = decltype(r)::value;
        const FloatBatch value(at[row / together][row % together * row_stride]);
        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
          sums[row][v] = multiply_add(value, columns[v], sums[row][v]);
        });
      });
      unroll<pointers>([&](auto p) __attribute__((always_inline)) { at[p] += column_stride; });
    }
    unroll<Rows * vectors>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / vectors, v = decltype(i)::value % vectors;
      const index column = part + v * float_lanes, lanes = tile.channels - column;
      float* const to = tile.c + r * tile.c_row_stride + column;
      if (lanes >= float_lanes)
        (tile.adds ? sums[r][v] + FloatBatch::load_unaligned(to) : sums[r][v]).store_unaligned(to);
      else if (lanes > 0)
        store_partial(tile.adds ? sums[r][v] + load_partial(to, lanes) : sums[r][v], to, lanes);
    });
  }
}

/// a (rows × depth, dense columns) as strips of one tile each, [k][rows of the tile].
inline void copy_strips(MatrixView<const float> a, float* to) noexcept {
  for_each_run(a.rows(), most_float_rows, [&](Range tile) {
    const index rows = tile.end - tile.begin;
    float* strip = to + tile.begin * a.columns();
    with_constant<most_float_rows>(static_cast<int>(rows), [&](auto count) {
      const float* from = a.row(tile.begin);
      for (index k = 0; k < a.columns(); ++k, from += a.column_stride(), strip += count)
        std::memcpy(strip, from, sizeof(float) * count);
    });
  });
}

/// True if a tile's rows would crowd into few cache sets.
[[nodiscard]] inline bool rows_collide(MatrixView<const float> a) noexcept {
  return a.rows() > 4 && a.row_stride() % 512 == 0;
}

}  // namespace detail

/// The rows [rows.begin, rows.end) of c, at most product_block_rows, in the channels of `panels`.
inline void multiply_float_block(const FloatProduct& m, Range rows, Range panels, std::span<float> scratch) noexcept {
  const index count = rows.end - rows.begin, depth = m.a.columns();
  const MatrixView<const float> a = m.a.middle_rows(rows.begin, count);
  const MatrixView<float> c = m.c.middle_rows(rows.begin, count);
  const bool strips = !a.has_dense_rows(), copies = !strips && detail::rows_collide(a);
  if (depth == 0 && !m.adds)
    for (index r = 0; r < count; ++r)
      std::fill(c.row(r) + panels.begin * panel_width, c.row(r) + std::min(m.w.rows, panels.end * panel_width), 0.0f);
  for_each_run(depth, product_chunk, [&](Range terms) {
    const index length = terms.end - terms.begin;
    MatrixView<const float> chunk = a.middle_columns(terms.begin, length);
    if (strips) detail::copy_strips(chunk, scratch.data());
    if (copies) {
      const index stride = product_scratch_size / product_block_rows;
      for (index r = 0; r < count; ++r) std::copy_n(chunk.row(r), length, scratch.data() + r * stride);
      chunk = {scratch.data(), count, length, stride};
    }
    for (index panel = panels.begin; panel < panels.end; ++panel) {
      const float* const weights = m.w.panel(panel) + terms.begin * panel_width;
      const float* const next = weights + (panel + 1 < panels.end ? depth * panel_width : 0);
      for_each_run(count, most_float_rows, [&](Range tile) {
        // The next panel comes from far away while this one is used.
        for (index k = tile.begin * length / count; k < tile.end * length / count; ++k) {
          __builtin_prefetch(next + k * panel_width, 0, 2);
          __builtin_prefetch(next + k * panel_width + panel_width / 2, 0, 2);
        }
        const detail::ProductTile t{strips ? scratch.data() + tile.begin * length : chunk.row(tile.begin),
                                    chunk.row_stride(),
                                    chunk.column_stride(),
                                    weights,
                                    length,
                                    c.row(tile.begin) + panel * panel_width,
                                    c.row_stride(),
                                    std::min(panel_width, m.w.rows - panel * panel_width),
                                    m.adds || terms.begin > 0};
        with_constant<most_float_rows>(static_cast<int>(tile.end - tile.begin), [&](auto height) {
          strips ? detail::run_product_tile<height, true>(t) : detail::run_product_tile<height, false>(t);
        });
      });
    }
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
