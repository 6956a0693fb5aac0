#pragma once
// The integer products of multiply.hpp by matrix tiles, for 16 rows and more. The tiles make the raw sums; everything
// else (expanding the next weights, rescaling the last block) runs in vector registers between their instructions.
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>

#if defined(PLANISH_HAS_AMX_INT8)
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/cpu/tile_feed.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// A pair of row tiles, 16 rows each. Where rows end within a tile, it begins earlier and repeats rows that others own.
struct RowPair {
  index upper, lower;              // first rows
  index upper_owned, lower_owned;  // first rows that are its own
  bool whole;                      // false: there is no lower tile

  static RowPair of(index pair, index rows) noexcept {
    const index first = pair * isa::pair_height, second = first + isa::tile_height;
    return {std::min(first, rows - isa::tile_height), std::min(second, rows - isa::tile_height), first, second,
            second < rows};
  }
  [[nodiscard]] index height() const noexcept { return whole ? isa::pair_height : isa::tile_height; }
  /// The row that line `i` of the block stands for, or −1 if it is another's.
  [[nodiscard]] PLANISH_ALWAYS_INLINE index row(index i) const noexcept {
    const bool is_lower = i >= isa::tile_height;
    const index row = is_lower ? lower + i - isa::tile_height : upper + i;
    return row >= (is_lower ? lower_owned : upper_owned) ? row : -1;
  }
};

/// A finished block on its way out: its complete rows go to `Rows`, which knows panel and group.
template <class Rows>
class FinishedBlock {
 public:
  FinishedBlock(Rows rows, RowPair pair, const std::int32_t* sums, std::int32_t* partial) noexcept
      : rows_(rows), pair_(pair), sums_(sums), partial_(partial) {}

  PLANISH_ALWAYS_INLINE void some(index lines) noexcept {
    for (const index end = std::min(line_ + lines, pair_.height()); line_ < end; ++line_)
      if (const index row = pair_.row(line_); row >= 0)
        rows_.finish(row, sums_ + line_ * panel_width, partial_ + line_ * panel_width);
  }

 private:
  Rows rows_;
  RowPair pair_;
  const std::int32_t* sums_;
  std::int32_t* partial_;
  index line_ = 0;
};

/// Raw sums of a block of rows by tiles. `open(panel, group)` gives an object whose `finish(row, sums, partial)` takes
/// one complete row; `partial` are 32 numbers of its own that last over the groups of the row.
template <CodeStorage Storage, class Open>
void for_each_tile_row(QuantizedRowsView rows, const PackedWeightsView& w, Range panels, const TileMemory& memory,
                       Open&& open) noexcept {
  using Rows = decltype(open(index{}, index{}));
  const index groups = w.groups(), pairs = divide_up(rows.rows, isa::pair_height);
  const TilePlan plan(w.columns, w.group_size, groups);
  ChunkCursor at(plan, panels, TilePlan::batch_panels(w.columns));
  WeightFeed<Storage> feed(w, plan, memory.weights);
  std::optional<FinishedBlock<Rows>> last;
  std::int32_t* sums = memory.sums;
  feed.start(at, 1);
  for (bool more = true; more;) {
    const std::uint8_t* weights = feed.ready();
    const ChunkCursor now = at;
    const index begin = plan.begin(now.chunk()), steps = plan.begin(now.chunk() + 1) - begin;
    more = at.advance();
    if (more) feed.start(at, pairs * steps);
    const index lines = divide_up(isa::pair_height, steps);
    const auto between = [&](index) __attribute__((always_inline)) {
      feed.some();
      if (last) last->some(lines);
    };
    const bool adds = groups == 1 && now.chunk() > 0, stays = groups == 1 && now.chunk() + 1 < plan.chunks();
    for (index p = 0; p < pairs; ++p) {
      const RowPair pair = RowPair::of(p, rows.rows);
      const std::int8_t* upper = rows.row(pair.upper) + begin * isa::tile_depth_columns;
      const std::int8_t* lower = rows.row(pair.lower) + begin * isa::tile_depth_columns;
      std::int32_t* partial = memory.partial + (now.slot() * pairs + p) * TileMemory::block_sums;
      const std::int32_t* earlier = adds ? partial : nullptr;
      std::int32_t* to = stays ? partial : sums;
      if (pair.whole)
        isa::multiply_tiles<2, Storage>(upper, lower, rows.stride, weights, steps, earlier, to, between);
      else
        isa::multiply_tiles<1, Storage>(upper, lower, rows.stride, weights, steps, earlier, to, between);
      last.reset();
      if (stays) continue;
      last.emplace(open(now.panel(), groups == 1 ? 0 : now.chunk()), pair, sums, partial);
      sums = sums == memory.sums ? memory.sums + TileMemory::block_sums : memory.sums;
    }
  }
  if (last) last->some(isa::pair_height);
}

/// Calls `body(first row, rows of the block, group sums, memory)` for blocks of rows, none below 16 rows.
template <class Body>
void for_each_tile_block(QuantizedRowsView x, const PackedWeightsView& w, std::span<std::byte> scratch,
                         Body&& body) noexcept {
  Workspace workspace(scratch);
  const TileMemory memory = TileMemory::take(workspace, x.rows, w.columns, w.groups());
  const isa::TileConfiguration configured;
  const index most = TilePlan::most_rows(w.columns) / isa::pair_height;
  for_each_run(divide_up(x.rows, isa::pair_height), most, [&](Range run) {
    const index first = run.begin * isa::pair_height, last = std::min(run.end * isa::pair_height, x.rows);
    const QuantizedRowsView rows = x.middle_rows(first, last - first);
    body(first, rows, GroupSums::of(rows, w, workspace, isa::Best{}), memory);
  });
}

/// As multiply_accumulators, by tiles.
template <CodeStorage Storage>
void multiply_accumulators_by_tiles(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                                    Range panels, std::span<std::byte> scratch) noexcept {
  struct Rows {
    QuantizedRowsView x;
    const GroupSums& x_sums;
    MatrixView<std::int32_t> acc;  // of the block
    index panel, channels, group, groups;
    ZeroPoints zero_points;

    void finish(index row, const std::int32_t* sums, std::int32_t* /*partial*/) const noexcept {
      alignas(64) std::int32_t exact[panel_width];
      for (int v = 0; v < panel_vectors; ++v)
        zero_points.exact(sums, v, x_sums(row, group), x.zero_point(row)).store_aligned(exact + v * float_lanes);
      for (index c = 0; c < channels; ++c) acc(row, (panel * panel_width + c) * groups + group) = exact[c];
    }
  };
  for_each_tile_block(x, w, scratch,
                      [&](index first, QuantizedRowsView rows, const GroupSums& x_sums, const TileMemory& memory) {
                        for_each_tile_row<Storage>(rows, w, panels, memory, [&](index panel, index group) {
                          return Rows{rows,
                                      x_sums,
                                      acc.middle_rows(first, rows.rows),
                                      panel,
                                      std::min(panel_width, w.rows - panel * panel_width),
                                      group,
                                      w.groups(),
                                      ZeroPoints(w, (panel * w.groups() + group) * panel_width)};
                        });
                      });
}

/// As multiply, by tiles.
template <CodeStorage Storage>
void multiply_by_tiles(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                       Range panels, std::span<std::byte> scratch) noexcept {
  struct Rows {
    QuantizedRowsView x;
    const GroupSums& x_sums;
    index first, group, groups;
    const float* scales;
    PanelOutput output;
    ZeroPoints zero_points;

    PLANISH_ALWAYS_INLINE void finish(index row, const std::int32_t* sums, std::int32_t* partial) const noexcept {
      const FloatBatch token(x.scales[row]);
      const std::int32_t x_sum = x_sums(row, group), x_zero = x.zero_point(row);
      if (groups == 1)
        return output.store_row(
            first + row, [&](auto v) __attribute__((always_inline)) {
              return fused_multiply_add(xsimd::to_float(zero_points.exact(sums, v, x_sum, x_zero)) * token,
                                        FloatBatch::load_unaligned(scales + v * float_lanes), output.bias(v));
            });
      auto* floats = reinterpret_cast<float*>(partial);
      const auto added = [&](auto v) __attribute__((always_inline)) {
        const FloatBatch before = group == 0 ? FloatBatch(0.0f) : FloatBatch::load_aligned(floats + v * float_lanes);
        return fused_multiply_add(xsimd::to_float(zero_points.exact(sums, v, x_sum, x_zero)),
                                  FloatBatch::load_unaligned(scales + v * float_lanes), before);
      };
      if (group + 1 == groups)
        return output.store_row(
            first + row, [&](auto v) __attribute__((always_inline)) {
              return fused_multiply_add(added(v), token, output.bias(v));
            });
      unroll<panel_vectors>([&](auto v)
                                __attribute__((always_inline)) { added(v).store_aligned(floats + v * float_lanes); });
    }
  };
  const index groups = w.groups();
  for_each_tile_block(x, w, scratch,
                      [&](index first, QuantizedRowsView rows, const GroupSums& x_sums, const TileMemory& memory) {
                        for_each_tile_row<Storage>(rows, w, panels, memory, [&](index panel, index group) {
                          const index side = (panel * groups + group) * panel_width;
                          return Rows{rows,
                                      x_sums,
                                      first,
                                      group,
                                      groups,
                                      w.scales + side,
                                      PanelOutput(e, y, panel, w.rows),
                                      ZeroPoints(w, side)};
                        });
                      });
}

/// As kernels::cpu::multiply, where tiles_fit and the host has enabled them.
PLANISH_ENTRY void multiply_amx(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                                Range panels, std::span<std::byte> scratch) noexcept {
  if (panels.begin >= panels.end) return;
  if (w.storage == CodeStorage::nibble)
    multiply_by_tiles<CodeStorage::nibble>(x, w, e, y, panels, scratch);
  else
    multiply_by_tiles<CodeStorage::byte>(x, w, e, y, panels, scratch);
}

/// As kernels::cpu::multiply_accumulators, likewise.
PLANISH_ENTRY void multiply_accumulators_amx(QuantizedRowsView x, const PackedWeightsView& w,
                                             MatrixView<std::int32_t> acc, Range panels,
                                             std::span<std::byte> scratch) noexcept {
  if (panels.begin >= panels.end) return;
  if (w.storage == CodeStorage::nibble)
    multiply_accumulators_by_tiles<CodeStorage::nibble>(x, w, acc, panels, scratch);
  else
    multiply_accumulators_by_tiles<CodeStorage::byte>(x, w, acc, panels, scratch);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
