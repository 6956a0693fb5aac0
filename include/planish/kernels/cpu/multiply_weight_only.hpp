#pragma once
// Products of float rows and packed weights. Each weight becomes (stored − zero) · scale in float: into scratch for
// many rows, in registers for few; then the sums run as in multiply_float.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/float_tiles.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/cpu/weight_decoder.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Bytes from the line at work to the line asked for. Memory, not arithmetic, bounds the product of few rows, and the
/// processor's own prefetching does not keep a panel coming: a line takes too long between two misses.
inline constexpr index prefetch_distance = 2048;

/// Asks for a line that may lie behind the last one: nothing is read then.
template <CodeStorage Storage>
PLANISH_ALWAYS_INLINE void prefetch_line(const std::uint8_t* line) noexcept {
  for (index at = 0; at < line_bytes(Storage); at += 64) __builtin_prefetch(line + at);
}

/// Columns [first, first + count) of a panel as [column][32] floats.
template <class Decoder>
void expand_panel(const PackedWeightsView& w, index panel, index first, index count, float* to) noexcept {
  constexpr index step = line_bytes(Decoder::storage);
  const std::uint8_t* bytes = w.panels + panel * w.panel_bytes();
  const index end = first + count;
  for (index column = first; column < end;) {
    const index group = column / w.group_size;
    const index group_end = std::min(end, (group + 1) * w.group_size);
    const Decoder decoder(w, (panel * w.groups() + group) * panel_width);
    const auto expand = [&](const std::uint8_t* line, auto depth) __attribute__((always_inline)) {
      unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
        decoder.template weights<decltype(v)::value, decltype(depth)::value>(line).store_aligned(to + v * float_lanes);
      });
      to += panel_width;
    };
    while (column < group_end) {
      const std::uint8_t* line = bytes + column / line_depth * step;
      const index in_line = column % line_depth, stop = std::min(group_end - column + in_line, line_depth);
      if (stop - in_line == line_depth) {
        prefetch_line<Decoder::storage>(line + prefetch_distance);
        unroll<line_depth>([&](auto depth) __attribute__((always_inline)) { expand(line, depth); });
      } else {
        unroll<line_depth>([&](auto depth) __attribute__((always_inline)) {
          if (depth >= in_line && depth < stop) expand(line, depth);
        });
      }
      column += stop - in_line;
    }
  }
}

/// Up to this many rows meet the weights in registers, as many as the registers hold.
inline constexpr int most_rows_in_registers = tile_rows(panel_vectors <= 2 ? 8 : panel_vectors <= 4 ? 3 : 1);

/// True if lines of 4 columns never straddle two groups and rows are dense: what multiply_few_rows wants.
[[nodiscard]] inline bool are_whole_lines(MatrixView<const float> x, const PackedWeightsView& w) noexcept {
  return x.has_dense_rows() && (w.groups() <= 1 || w.group_size % line_depth == 0);
}

/// Channels of panels [first, first + Together) of all rows of x, which are `Rows`, side by side.
template <class Decoder, int Rows, int Together>
requires(Together == 1 || Together == 2) void multiply_few_rows(MatrixView<const float> x, const PackedWeightsView& w,
                                                                const Epilogue& e, MatrixView<float> y,
                                                                index first) noexcept {
  constexpr index step = line_bytes(Decoder::storage);
  FloatBatch sums[Rows][Together][panel_vectors];
  const float* rows[Rows];
  const std::uint8_t* lines[Together];
  unroll<Rows>([&](auto r) __attribute__((always_inline)) {
    rows[r] = x.row(r);
    unroll<Together * panel_vectors>([&](auto i) __attribute__((always_inline)) {
      sums[r][i / panel_vectors][i % panel_vectors] = FloatBatch(0.0f);
    });
  });
  unroll<Together>([&](auto p) __attribute__((always_inline)) { lines[p] = w.panels + (first + p) * w.panel_bytes(); });

  const index last_near = w.columns - prefetch_distance / step * line_depth;  // from there on, the next panels' lines
  const index to_next = (Together - 1) * w.panel_bytes();
  const index groups = w.groups();
  for (index group = 0, column = 0; group < groups; ++group) {
    const index end = std::min(w.columns, (group + 1) * w.group_size);
    const auto side = [&](index panel) { return ((first + panel) * groups + group) * panel_width; };
    const Decoder decoders[] = {Decoder(w, side(0)), Decoder(w, side(Together - 1))};
    const auto add_column = [&](auto depth) __attribute__((always_inline)) {
      FloatBatch weights[Together][panel_vectors];
      unroll<Together * panel_vectors>([&](auto i) __attribute__((always_inline)) {
        constexpr int p = decltype(i)::value / panel_vectors, v = decltype(i)::value % panel_vectors;
        weights[p][v] = decoders[p].template weights<v, decltype(depth)::value>(lines[p]);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const FloatBatch value(rows[r][column + depth]);
        unroll<Together * panel_vectors>([&](auto i) __attribute__((always_inline)) {
          constexpr int p = decltype(i)::value / panel_vectors, v = decltype(i)::value % panel_vectors;
          sums[r][p][v] = multiply_add(value, weights[p][v], sums[r][p][v]);
        });
      });
    };
    for (; column + line_depth <= end; column += line_depth) {
      unroll<Together>([&](auto p) __attribute__((always_inline)) {
        prefetch_line<Decoder::storage>(lines[p] + prefetch_distance + (column < last_near ? 0 : to_next));
      });
      unroll<line_depth>(add_column);
      unroll<Together>([&](auto p) __attribute__((always_inline)) { lines[p] += step; });
    }
    unroll<line_depth - 1>([&](auto depth) __attribute__((always_inline)) {
      if (column + depth < end) add_column(depth);
    });
    column = end;
  }
  unroll<Together>([&](auto p) __attribute__((always_inline)) {
    const PanelOutput output(e, y, first + p, w.rows);
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      output.store_row(
          r, [&](auto v) __attribute__((always_inline)) {
            return e.bias == nullptr ? sums[r][p][v] : sums[r][p][v] + output.bias(v);
          });
    });
  });
}

/// y = x · wᵀ + bias + residual; only channels of the given panels are computed. y is rows × channels. Equal to the bit
/// to multiply_float on the dequantized weights.
PLANISH_ENTRY void multiply_weight_only(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e,
                                        MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  with_decoder(w, [&](auto type) {
    using Decoder = typename decltype(type)::type;
    if (x.rows() > most_rows_in_registers || !are_whole_lines(x, w)) {
      multiply_float_panels(x, w.rows, e, y, panels, scratch, [&](index panel, index first, index count, float* room) {
        expand_panel<Decoder>(w, panel, first, count, room);
        return room;
      });
      return;
    }
    if (x.rows() == 0) return;
    with_constant<most_rows_in_registers>(static_cast<int>(x.rows()), [&](auto rows) {
      constexpr int together = rows * panel_vectors < 4 ? 2 : 1;  // four sums hide the latency of an addition
      index panel = panels.begin;
      for (; panel + together <= panels.end; panel += together)
        multiply_few_rows<Decoder, rows, together>(x, w, e, y, panel);
      for (; panel < panels.end; ++panel) multiply_few_rows<Decoder, rows, 1>(x, w, e, y, panel);
    });
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
