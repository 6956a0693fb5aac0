#pragma once
// Register tiles of the float product: rows × one panel of 32 channels, terms in rising column order, one accumulator
// per output, so that results equal the reference to the bit.
#include <algorithm>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows of a register tile: × 2 vectors they fill the registers, less those that hold weights and an activation.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int most_float_rows = tile_rows(12);
#else
inline constexpr int most_float_rows = tile_rows(6);
#endif

/// Vectors of channels side by side in a tile; one row takes the whole panel, to have enough independent sums.
[[nodiscard]] constexpr int float_tile_vectors(int rows) noexcept { return rows == 1 ? panel_vectors : 2; }

/// partial (rows × 32) += x · weights over `depth` columns. Weights lie as [column][32].
template <int Rows>
void add_float_tile(const float* x, index x_row_stride, const float* weights, index depth, float* partial) noexcept {
  constexpr int vectors = float_tile_vectors(Rows);
  index distances[Rows];
  for (int r = 0; r < Rows; ++r) distances[r] = r * x_row_stride;
  for (index part = 0; part < panel_width; part += vectors * float_lanes) {
    FloatBatch sums[Rows][vectors];
    unroll<Rows * vectors>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / vectors, v = decltype(i)::value % vectors;
      sums[r][v] = FloatBatch::load_aligned(partial + r * panel_width + part + v * float_lanes);
    });
    const float* w = weights + part;
    const float* at = x;
    for (index k = 0; k < depth; ++k, ++at, w += panel_width) {
      FloatBatch columns[vectors];
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        columns[v] = FloatBatch::load_unaligned(w + v * float_lanes);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const FloatBatch value(at[distances[r]]);
        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
          sums[r][v] = multiply_add(value, columns[v], sums[r][v]);
        });
      });
    }
    unroll<Rows * vectors>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / vectors, v = decltype(i)::value % vectors;
      sums[r][v].store_aligned(partial + r * panel_width + part + v * float_lanes);
    });
  }
}

/// Activations of a block of rows, each row a dense run of floats, and neighbouring rows in different cache sets: the
/// caller's own memory where it is like that, else a copy.
struct DenseRows {
  const float* data;
  index stride;

  static DenseRows of(MatrixView<const float> x, std::span<float> room) noexcept {
    constexpr index set_period = 1024;  // floats after which cache sets repeat
    const bool collides = x.rows() > 4 && x.row_stride() % set_period == 0;
    if (x.has_dense_rows() && !collides) return {x.data(), x.row_stride()};
    const index stride = copied_row_stride(x.columns());
    for (index r = 0; r < x.rows(); ++r) {
      float* to = room.data() + r * stride;
      if (x.has_dense_rows())
        std::memcpy(to, x.row(r), static_cast<std::size_t>(x.columns()) * sizeof(float));
      else
        for (index c = 0; c < x.columns(); ++c) to[c] = x(r, c);
    }
    return {room.data(), stride};
  }
};

/// y = x · wᵀ + bias + residual for the channels of `panels`. `weights(panel, first, count, room)` gives columns
/// [first, first + count) of a panel as [column][32], in `room` or where they already lie.
template <class Weights>
void multiply_float_panels(MatrixView<const float> x, index channels, const Epilogue& e, MatrixView<float> y,
                           Range panels, std::span<std::byte> scratch, Weights&& weights) noexcept {
  const auto multiply_batch = [&](Range block, Range batch) {
    const MatrixView<const float> rows = x.middle_rows(block.begin, block.end - block.begin);
    Workspace workspace(scratch);
    const std::span<float> partial = workspace.take<float>(rows.rows() * panel_width * (batch.end - batch.begin));
    const std::span<float> copied =
        workspace.take<float>(rows.rows() * copied_row_stride(std::min(x.columns(), float_block_columns)));
    float* room = workspace.take<float>(std::min(x.columns(), float_block_columns) * panel_width).data();
    const auto partial_of = [&](index panel, index row) {
      return partial.data() + ((panel - batch.begin) * rows.rows() + row) * panel_width;
    };
    std::memset(partial.data(), 0, partial.size_bytes());
    for_each_run(x.columns(), float_block_columns, [&](Range columns) {
      const index depth = columns.end - columns.begin;
      const DenseRows dense = DenseRows::of(rows.middle_columns(columns.begin, depth), copied);
      for (index panel = batch.begin; panel < batch.end; ++panel) {
        const float* w = weights(panel, columns.begin, depth, room);
        for_each_run(rows.rows(), most_float_rows, [&](Range tile) {
          const auto add = [&](auto count) __attribute__((always_inline)) {
            add_float_tile<decltype(count)::value>(dense.data + tile.begin * dense.stride, dense.stride, w, depth,
                                                   partial_of(panel, tile.begin));
          };
          with_constant<most_float_rows>(static_cast<int>(tile.end - tile.begin), add);
        });
      }
    });
    for (index panel = batch.begin; panel < batch.end; ++panel) {
      const PanelOutput output(e, y, panel, channels);
      for (index r = 0; r < rows.rows(); ++r) {
        output.store_row(
            block.begin + r, [&](auto v) __attribute__((always_inline)) {
              const FloatBatch sum = FloatBatch::load_aligned(partial_of(panel, r) + v * float_lanes);
              return e.bias == nullptr ? sum : sum + output.bias(v);
            });
      }
    }
  };
  for_each_run(x.rows(), most_block_rows, [&](Range block) {
    const index together = block.end - block.begin > most_float_rows ? float_batch_panels : 1;
    for (index first = panels.begin; first < panels.end; first += together)
      multiply_batch(block, {first, std::min(panels.end, first + together)});
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
