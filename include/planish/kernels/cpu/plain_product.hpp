#pragma once
// The integer product of symmetric weights and activations, with sums that stay in registers. What it cuts: rows into
// blocks that fit the second-level cache, panels into runs of lines, blocks into register tiles.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/register_tiles.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// True if multiply_plain takes the product: one zero point for all weights, no line under two scales, and columns that
/// the sums hold at once.
template <class Isa, CodeStorage Storage>
[[nodiscard]] bool is_plain_product(QuantizedRowsView x, const PackedWeightsView& w) noexcept {
  return w.symmetry == Symmetry::symmetric && x.zero_points == nullptr &&
         (w.groups() == 1 || (w.groups() > 1 && w.group_size % line_depth == 0)) &&
         std::min(w.group_size, w.columns) <= Isa::template Dots<Storage>::most_columns;
}

/// One block of rows, which meets one panel after the other.
template <class Isa, CodeStorage Storage, CodeStorage Read>
class PlainBlock {
  using Dots = typename Isa::template Dots<Read>;
  static constexpr bool expands = Storage != Read;

 public:
  PlainBlock(QuantizedRowsView x, const PackedWeightsView& w, Workspace scratch) noexcept
      : x_(x), w_(w), groups_(w.groups()), lines_(line_count(w.columns)) {
    starts_ = scratch.take<std::int32_t>(x.rows * groups_).data();
    results_ = scratch.take<float>(x.rows * panel_width).data();
    if constexpr (expands) expanded_ = scratch.take<std::uint8_t>(expanded_bytes(w.columns)).data();
    group_lines_ = groups_ == 1 ? lines_ : w.group_size / line_depth;
    run_lines_ = lines_;
    if (Read == CodeStorage::byte && groups_ == 1) run_lines_ = run_columns / line_depth;
    if (Read == CodeStorage::byte && groups_ > 1 && w.group_size <= run_columns)
      run_lines_ = run_columns / w.group_size * group_lines_;
    const std::int32_t offset = storage_offset(Storage);
    for (index r = 0; r < x.rows; ++r) {
      if (groups_ == 1) starts_[r] = -offset * x.sums[r];
      for (index g = 0; g < groups_ && groups_ > 1; ++g) {
        const index begin = g * w.group_size;
        starts_[g * x.rows + r] =
            -offset * Isa::sum_of_codes(x.row(r) + begin, std::min(w.group_size, w.columns - begin));
      }
    }
  }

  /// Rows `first` and on of y.
  void multiply(const Epilogue& e, MatrixView<float> y, index first, index panel) noexcept {
    const PanelOutput output(e, y, panel, w_.rows);
    // One tall tile would wait for memory at every line; of two, the first brings what the second finds near.
    const int tall = x_.rows <= Isa::most_rows ? std::min(lone_tile_rows, Isa::most_rows) : Isa::most_rows;
    const int most_rows = groups_ == 1 ? tall : most_group_rows;
    for (index line = 0; line < lines_; line += run_lines_) {
      TileWork work{};
      const std::uint8_t* stored = w_.panels + panel * w_.panel_bytes() + line * line_bytes(Storage);
      work.line_count = std::min(run_lines_, lines_ - line);
      work.lines = stored;
      if constexpr (expands) {
        Isa::expand_lines(stored, work.line_count, expanded_);
        work.lines = expanded_;
      }
      work.group_lines = group_lines_;
      work.x_stride = x_.stride;
      work.starts_stride = x_.rows;
      work.scales = w_.scales + (panel * groups_ + line / group_lines_) * panel_width;
      work.first = line == 0;
      work.last = line + work.line_count == lines_;
      work.bias = output.bias();
      work.y_stride = y.row_stride();
      // A block of few rows passes faster than memory delivers a panel, so its lines are asked for shortly before they
      // come; more rows share out the next run among their tiles.
      const index tiles = divide_up(x_.rows, most_rows);
      work.ahead = stored + (tiles == 1 ? near_ahead : work.line_count * line_bytes(Storage));
      work.ahead_step = line_bytes(Storage) / tiles;
      for_each_run(
          x_.rows, most_rows, [&](Range tile) __attribute__((always_inline)) {
            if (work.last) output.expect(first + tile.begin, first + tile.end);
            work.x = x_.row(tile.begin) + line * line_depth;
            work.starts = starts_ + line / group_lines_ * x_.rows + tile.begin;
            work.results = results_ + tile.begin * panel_width;
            work.tokens = x_.scales + tile.begin;
            work.y = work.last && output.is_plain() ? output.plain_row(first + tile.begin) : nullptr;
            const int count = static_cast<int>(tile.end - tile.begin);
            if (groups_ == 1)
              with_constant<Isa::most_rows>(count, [&](auto rows) { run_tile<Dots, decltype(rows)::value>(work); });
            else
              with_constant<most_group_rows>(count,
                                             [&](auto rows) { run_group_tile<Dots, decltype(rows)::value>(work); });
            work.ahead += work.ahead_step * work.line_count;
            if (work.last && !output.is_plain()) store(output, panel, first, tile);
          });
    }
  }

 private:
  static constexpr index near_ahead = 4096;  // bytes
  static constexpr int lone_tile_rows = 8;

  void store(const PanelOutput& output, index panel, index first, Range tile) const noexcept {
    const float* scales = w_.scales + panel * groups_ * panel_width;
    for (index r = tile.begin; r < tile.end; ++r) {
      const FloatBatch token(x_.scales[r]);
      const float* result = results_ + r * panel_width;
      const auto value = [&](auto v) __attribute__((always_inline)) {
        const FloatBatch sum = FloatBatch::load_aligned(result + v * float_lanes);
        return groups_ == 1 ? fused_multiply_add(sum * token, FloatBatch::load_unaligned(scales + v * float_lanes),
                                                 output.bias(v))
                            : fused_multiply_add(sum, token, output.bias(v));
      };
      output.store_row(first + r, value);
    }
  }

  QuantizedRowsView x_;
  PackedWeightsView w_;
  index groups_, lines_, group_lines_ = 0, run_lines_ = 0;
  std::int32_t* starts_;
  float* results_;
  std::uint8_t* expanded_ = nullptr;
};

/// As multiply, for products that is_plain_product allows.
template <class Isa, CodeStorage Storage>
void multiply_plain(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                    Range panels, std::span<std::byte> scratch) noexcept {
  const auto run = [&](auto read, Range block) {
    PlainBlock<Isa, Storage, decltype(read)::value> plain(x.middle_rows(block.begin, block.end - block.begin), w,
                                                          Workspace(scratch));
    for (index panel = panels.begin; panel < panels.end; ++panel) plain.multiply(e, y, block.begin, panel);
  };
  for_each_run(x.rows, integer_block_rows(x.stride), [&](Range block) {
    if constexpr (Storage == CodeStorage::nibble) {
      const bool fits = w.groups() == 1 || w.group_size <= run_columns;
      if (fits && block.end - block.begin >= least_rows_to_expand(w.groups()))
        return run(std::integral_constant<CodeStorage, CodeStorage::byte>{}, block);
    }
    run(std::integral_constant<CodeStorage, Storage>{}, block);
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
