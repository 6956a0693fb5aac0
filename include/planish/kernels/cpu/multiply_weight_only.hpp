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
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// One panel of packed weights, expanded a column at a time.
template <CodeStorage Storage>
class PanelExpander {
 public:
  PanelExpander(const PackedWeightsView& w, index panel) noexcept
      : w_(w), bytes_(w.panels + panel * w.panel_bytes()), side_(panel * w.groups() * panel_width) {}

  /// Calls `body(column, weights)` for columns [first, first + count) in rising order; weights[v] are channels
  /// v · lanes and on.
  template <class Body>
  PLANISH_ALWAYS_INLINE void for_each_column(index first, index count, Body&& body) const noexcept {
    const index end = first + count;
    for (index column = first; column < end;) {
      const index group = column / w_.group_size;
      const index group_end = std::min(end, (group + 1) * w_.group_size);
      FloatBatch scales[panel_vectors];
      IntBatch zeros[panel_vectors];
      unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
        const index at = side_ + group * panel_width + v * float_lanes;
        scales[v] = FloatBatch::load_unaligned(w_.scales + at);
        zeros[v] = IntBatch::load_unaligned(w_.zeros + at);
      });
      const auto expand = [&](const std::uint8_t* line, auto depth) __attribute__((always_inline)) {
        FloatBatch weights[panel_vectors];
        unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
          weights[v] = xsimd::to_float(stored<decltype(v)::value, decltype(depth)::value>(line) - zeros[v]) * scales[v];
        });
        body(column, weights);
        ++column;
      };
      while (column < group_end) {
        const std::uint8_t* line = bytes_ + column / line_depth * line_bytes(Storage);
        if (column % line_depth == 0 && column + line_depth <= group_end) {
          unroll<line_depth>([&](auto depth) __attribute__((always_inline)) { expand(line, depth); });
        } else {
          const index stop = std::min(group_end, (column / line_depth + 1) * line_depth);
          while (column < stop)
            with_constant<line_depth>(
                static_cast<int>(column % line_depth) + 1, [&](auto next) __attribute__((always_inline)) {
                  expand(line, std::integral_constant<int, decltype(next)::value - 1>{});
                });
        }
      }
    }
  }

  /// Columns [first, first + count) as [column][32] floats.
  void expand(index first, index count, float* to) const noexcept {
    for_each_column(
        first, count, [&](index column, const FloatBatch* weights) __attribute__((always_inline)) {
          unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
            weights[v].store_aligned(to + (column - first) * panel_width + v * float_lanes);
          });
        });
  }

 private:
  /// Stored values of vector v of the panel, column Depth of the line: one 32-bit lane holds 4 columns of a channel.
  template <int Vector, int Depth>
  [[nodiscard]] PLANISH_ALWAYS_INLINE static IntBatch stored(const std::uint8_t* line) noexcept {
    constexpr index half = panel_width / 2;
    constexpr index channel = Vector * float_lanes;
    constexpr bool nibble = Storage == CodeStorage::nibble;
    constexpr int shift = 8 * Depth + (nibble && channel >= half ? 4 : 0);
    const std::uint8_t* lanes = line + (nibble ? channel % half : channel) * line_depth;
    const IntBatch four = IntBatch::load_unaligned(reinterpret_cast<const std::int32_t*>(lanes));
    return (four >> shift) & IntBatch(nibble ? 15 : 255);
  }

  const PackedWeightsView& w_;
  const std::uint8_t* bytes_;
  index side_;
};

/// Up to this many rows meet the weights in registers, as many as the registers hold.
inline constexpr int most_rows_in_registers = panel_vectors <= 2 ? 4 : 1;

/// As multiply_weight_only, for a chosen storage.
template <CodeStorage Storage>
void multiply_weight_only_with(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e,
                               MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  if (x.rows() > most_rows_in_registers) {
    multiply_float_panels(x, w.rows, e, y, panels, scratch, [&](index panel, index first, index count, float* room) {
      PanelExpander<Storage>(w, panel).expand(first, count, room);
      return room;
    });
    return;
  }
  if (x.rows() == 0) return;
  for (index panel = panels.begin; panel < panels.end; ++panel) {
    const PanelExpander<Storage> expander(w, panel);
    const PanelOutput output(e, y, panel, w.rows);
    with_constant<most_rows_in_registers>(
        static_cast<int>(x.rows()), [&](auto rows) __attribute__((always_inline)) {
          FloatBatch sums[rows][panel_vectors];
          unroll<rows * panel_vectors>([&](auto i) __attribute__((always_inline)) {
            sums[i / panel_vectors][i % panel_vectors] = FloatBatch(0.0f);
          });
          expander.for_each_column(
              0, w.columns, [&](index column, const FloatBatch* weights) __attribute__((always_inline)) {
                unroll<rows>([&](auto r) __attribute__((always_inline)) {
                  const FloatBatch value(x(r, column));
                  unroll<panel_vectors>([&](auto v) __attribute__((always_inline)) {
                    sums[r][v] = multiply_add(value, weights[v], sums[r][v]);
                  });
                });
              });
          unroll<rows>([&](auto r) __attribute__((always_inline)) {
            output.store_row(
                r, [&](auto v) __attribute__((always_inline)) {
                  return e.bias == nullptr ? sums[r][v] : sums[r][v] + output.bias(v);
                });
          });
        });
  }
}

/// y = x · wᵀ + bias + residual; only channels of the given panels are computed. y is rows × channels. Equal to the bit
/// to multiply_float on the dequantized weights.
inline void multiply_weight_only(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e,
                                 MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  if (w.storage == CodeStorage::nibble) {
    multiply_weight_only_with<CodeStorage::nibble>(x, w, e, y, panels, scratch);
  } else {
    multiply_weight_only_with<CodeStorage::byte>(x, w, e, y, panels, scratch);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
