#pragma once
// What folding is made of: a stage applied to the rows of a matrix where they lie, and whether it keeps zero.
#include <algorithm>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/transform/map_rows.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// Replaces the rows of w by what the stage makes of them, a few rows at a time.
template <TransformStage S>
void apply_in_place(const S& stage, MatrixView<double> w) {
  constexpr index tile_rows = 16;
  const index tile = std::min(tile_rows, w.rows()), n = w.columns();
  Array<double> in(static_cast<std::size_t>(tile * n)), out(in.size());
  Array<double> scratch(static_cast<std::size_t>(stage.scratch_size(tile)));
  for (index first = 0; first < w.rows(); first += tile) {
    const index rows = std::min(tile, w.rows() - first);
    const MatrixView<double> block = w.middle_rows(first, rows), x(in.data(), rows, n), y(out.data(), rows, n);
    copy_rows(MatrixView<const double>(block), x);
    stage.apply(MatrixView<const double>(x), y, std::span<double>(scratch.data(), scratch.size()));
    copy_rows(MatrixView<const double>(y), block);
  }
}

/// False if the stage moves the origin.
template <TransformStage S>
[[nodiscard]] bool keeps_zero(const S& stage) {
  Array<double> row(static_cast<std::size_t>(stage.size()), 0.0);
  apply_in_place(stage, MatrixView<double>(row.data(), 1, stage.size()));
  return std::all_of(row.begin(), row.end(), [](double value) { return value == 0.0; });
}

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
