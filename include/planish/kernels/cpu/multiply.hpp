#pragma once
// Integer products of quantized rows and packed weights. Everything up to the accumulators is exact; the float epilogue
// follows core/rescale.hpp step by step.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/workspace.hpp>
#include <planish/kernels/cpu/integer_tiles.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/plain_product.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Turns raw sums Σ x · u of one panel and group into the exact Σ (x − zero_x)(u − zero_u).
class ZeroPoints {
 public:
  /// `side` is the index of the group of the panel in the weights' side data.
  ZeroPoints(const PackedWeightsView& w, index side) noexcept
      : zeros_(w.zeros + side),
        sums_(w.sums + side),
        offset_(storage_offset(w.storage)),
        same_for_all_(w.symmetry == Symmetry::symmetric) {}

  /// True if every sum of a row is off by the same number.
  [[nodiscard]] bool are_plain(QuantizedRowsView x) const noexcept { return same_for_all_ && x.zero_points == nullptr; }
  [[nodiscard]] std::int32_t plain_shift(std::int32_t x_sum) const noexcept { return offset_ * x_sum; }

  PLANISH_LAZY [[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch exact(const std::int32_t* raw, int vector,
                                                                  std::int32_t x_sum,
                                                                  std::int32_t x_zero) const noexcept {
    const index at = vector * float_lanes;
    IntBatch sum = IntBatch::load_aligned(raw + at);
    sum = same_for_all_ ? sum - IntBatch(plain_shift(x_sum))
                        : sum - IntBatch::load_unaligned(zeros_ + at) * IntBatch(x_sum);
    if (x_zero != 0) sum = sum - IntBatch::load_unaligned(sums_ + at) * IntBatch(x_zero);
    return sum;
  }

 private:
  const std::int32_t* zeros_;
  const std::int32_t* sums_;
  std::int32_t offset_;
  bool same_for_all_;
};

/// Sums of the stored activation codes per row and group; the quantizer's own when there is one group.
class GroupSums {
 public:
  template <class Isa>
  static GroupSums of(QuantizedRowsView x, const PackedWeightsView& w, Workspace scratch, Isa) noexcept {
    const index groups = w.groups();
    if (groups == 1) return {x.sums, 1};
    std::int32_t* sums = scratch.take<std::int32_t>(x.rows * groups).data();
    for (index r = 0; r < x.rows; ++r) {
      for (index g = 0; g < groups; ++g) {
        const index begin = g * w.group_size;
        sums[r * groups + g] = Isa::sum_of_codes(x.row(r) + begin, std::min(w.group_size, w.columns - begin));
      }
    }
    return {sums, groups};
  }

  [[nodiscard]] std::int32_t operator()(index row, index group) const noexcept { return sums_[row * groups_ + group]; }

 private:
  GroupSums(const std::int32_t* sums, index groups) noexcept : sums_(sums), groups_(groups) {}

  const std::int32_t* sums_;
  index groups_;
};

/// Calls `body(rows of a block, group sums, panel, rows of a tile within the block)` so that weights and activations
/// are read from near caches.
template <class Isa, class Body>
void for_each_integer_tile(QuantizedRowsView x, const PackedWeightsView& w, Range panels, std::span<std::byte> scratch,
                           Body&& body) noexcept {
  for_each_run(x.rows, integer_block_rows(x.stride), [&](Range block) {
    const QuantizedRowsView rows = x.middle_rows(block.begin, block.end - block.begin);
    const GroupSums sums = GroupSums::of(rows, w, Workspace(scratch), Isa{});
    for (index panel = panels.begin; panel < panels.end; ++panel)
      for_each_run(rows.rows, Isa::most_rows, [&](Range tile) { body(block.begin, rows, sums, panel, tile); });
  });
}

/// As multiply_accumulators, for a chosen ISA and storage.
template <class Isa, CodeStorage Storage>
void multiply_accumulators_with(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                                Range panels, std::span<std::byte> scratch) noexcept {
  const index groups = w.groups();
  const auto body = [&](index first, QuantizedRowsView rows, const GroupSums& x_sums, index panel, Range tile) {
    TileSums<Isa> sums;
    const index channels = std::min(panel_width, w.rows - panel * panel_width);
    for (index g = 0; g < groups; ++g) {
      tile_sums<Isa, Storage>(w, panel, rows.middle_rows(tile.begin, tile.end - tile.begin), g * w.group_size,
                              std::min(w.columns, (g + 1) * w.group_size), sums);
      const ZeroPoints zero_points(w, (panel * groups + g) * panel_width);
      for (index r = tile.begin; r < tile.end; ++r) {
        alignas(64) std::int32_t exact[panel_width];
        for (int v = 0; v < panel_vectors; ++v)
          zero_points.exact(sums.values[r - tile.begin], v, x_sums(r, g), rows.zero_point(r))
              .store_aligned(exact + v * float_lanes);
        for (index c = 0; c < channels; ++c) acc(first + r, (panel * panel_width + c) * groups + g) = exact[c];
      }
    }
  };
  for_each_integer_tile<Isa>(x, w, panels, scratch, body);
}

/// As multiply, for a chosen ISA and storage.
template <class Isa, CodeStorage Storage>
void multiply_with(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                   Range panels, std::span<std::byte> scratch) noexcept {
  if constexpr (requires { Isa::keeps_sums_in_registers; }) {
    if (is_plain_product<Isa, Storage>(x, w)) return multiply_plain<Isa, Storage>(x, w, e, y, panels, scratch);
  }
  const index groups = w.groups();
  const auto one_group = [&](index first, QuantizedRowsView rows, const GroupSums& x_sums, index panel, Range tile) {
    TileSums<Isa> sums;
    const PanelOutput output(e, y, panel, w.rows);
    output.expect(first + tile.begin, first + tile.end);
    tile_sums<Isa, Storage>(w, panel, rows.middle_rows(tile.begin, tile.end - tile.begin), 0, w.columns, sums);
    const ZeroPoints zero_points(w, panel * panel_width);
    const float* scales = w.scales + panel * panel_width;
    const auto rescaled = [&](IntBatch exact, FloatBatch token, auto v) __attribute__((always_inline)) {
      return fused_multiply_add(xsimd::to_float(exact) * token, FloatBatch::load_unaligned(scales + v * float_lanes),
                                output.bias(v));
    };
    if (output.is_plain() && zero_points.are_plain(rows)) {
      for (index r = tile.begin; r < tile.end; ++r) {
        const FloatBatch token(rows.scales[r]);
        const std::int32_t shift = zero_points.plain_shift(rows.sums[r]);
        output.store_plain_row(
            first + r, [&](auto v) __attribute__((always_inline)) {
              return rescaled(IntBatch::load_aligned(sums.values[r - tile.begin] + v * float_lanes) - IntBatch(shift),
                              token, v);
            });
      }
      return;
    }
    for (index r = tile.begin; r < tile.end; ++r) {
      const std::int32_t x_sum = x_sums(r, 0), x_zero = rows.zero_point(r);
      output.store_row(
          first + r, [&](auto v) __attribute__((always_inline)) {
            return rescaled(zero_points.exact(sums.values[r - tile.begin], v, x_sum, x_zero),
                            FloatBatch(rows.scales[r]), v);
          });
    }
  };
  const auto many_groups = [&](index first, QuantizedRowsView rows, const GroupSums& x_sums, index panel, Range tile) {
    TileSums<Isa> sums;
    alignas(64) float partial[Isa::most_rows][panel_width] = {};
    for (index g = 0; g < groups; ++g) {
      tile_sums<Isa, Storage>(w, panel, rows.middle_rows(tile.begin, tile.end - tile.begin), g * w.group_size,
                              std::min(w.columns, (g + 1) * w.group_size), sums);
      const ZeroPoints zero_points(w, (panel * groups + g) * panel_width);
      const float* scales = w.scales + (panel * groups + g) * panel_width;
      for (index r = 0; r < tile.end - tile.begin; ++r) {
        const std::int32_t x_sum = x_sums(tile.begin + r, g), x_zero = rows.zero_point(tile.begin + r);
        unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
          float* to = partial[r] + v * float_lanes;
          fused_multiply_add(xsimd::to_float(zero_points.exact(sums.values[r], v, x_sum, x_zero)),
                             FloatBatch::load_unaligned(scales + v * float_lanes), FloatBatch::load_aligned(to))
              .store_aligned(to);
        });
      }
    }
    const PanelOutput output(e, y, panel, w.rows);
    for (index r = 0; r < tile.end - tile.begin; ++r) {
      const FloatBatch token(rows.scales[tile.begin + r]);
      output.store_row(
          first + tile.begin + r, [&](auto v) __attribute__((always_inline)) {
            return fused_multiply_add(FloatBatch::load_aligned(partial[r] + v * float_lanes), token, output.bias(v));
          });
    }
  };
  if (groups == 1) {
    for_each_integer_tile<Isa>(x, w, panels, scratch, one_group);
  } else {
    for_each_integer_tile<Isa>(x, w, panels, scratch, many_groups);
  }
}

/// acc(m, n · groups + g) = the exact accumulator of row m, channel n, group g; only channels of the given panels.
PLANISH_ENTRY void multiply_accumulators(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                                         Range panels, std::span<std::byte> scratch) noexcept {
  if (w.storage == CodeStorage::nibble) {
    multiply_accumulators_with<isa::Best, CodeStorage::nibble>(x, w, acc, panels, scratch);
  } else {
    multiply_accumulators_with<isa::Best, CodeStorage::byte>(x, w, acc, panels, scratch);
  }
}

/// y = x · wᵀ, rescaled, + bias, + residual; only channels of the given panels are computed. y is rows × channels.
PLANISH_ENTRY void multiply(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                            Range panels, std::span<std::byte> scratch) noexcept {
  if (w.storage == CodeStorage::nibble) {
    multiply_with<isa::Best, CodeStorage::nibble>(x, w, e, y, panels, scratch);
  } else {
    multiply_with<isa::Best, CodeStorage::byte>(x, w, e, y, panels, scratch);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
