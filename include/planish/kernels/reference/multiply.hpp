#pragma once
// Integer products of quantized rows and packed weights, one output at a time: the oracle for every other backend.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Scratch of one worker for any product of this backend: none.
[[nodiscard]] constexpr std::size_t multiply_scratch_bytes(index /*rows*/, index /*columns*/,
                                                           index /*groups*/) noexcept {
  return 0;
}

/// Exact Σ (code_x − zero_x)(stored_w − zero_w) over the columns of one group.
[[nodiscard]] inline std::int32_t accumulate(QuantizedRowsView x, const PackedWeightsView& w, index row, index channel,
                                             index group) noexcept {
  const std::int32_t zero = w.zeros[w.side_index(channel, group)];
  const index end = std::min(w.columns, (group + 1) * w.group_size);
  std::int32_t sum = 0;
  for (index k = group * w.group_size; k < end; ++k)
    sum += (x.row(row)[k] - x.zero_point(row)) * (w.stored(channel, k) - zero);
  return sum;
}

/// acc(m, n · groups + g) = the exact accumulator of row m, channel n, group g; only channels of the given panels.
inline void multiply_accumulators(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                                  Range panels, std::span<std::byte> /*scratch*/) noexcept {
  const index end = std::min(w.rows, panels.end * panel_width);
  for (index m = 0; m < x.rows; ++m)
    for (index n = panels.begin * panel_width; n < end; ++n)
      for (index g = 0; g < w.groups(); ++g) acc(m, n * w.groups() + g) = accumulate(x, w, m, n, g);
}

/// y = x · wᵀ, rescaled, + bias, + residual; only channels of the given panels are computed. y is rows × channels.
inline void multiply(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                     Range panels, std::span<std::byte> /*scratch*/) noexcept {
  const index end = std::min(w.rows, panels.end * panel_width);
  for (index m = 0; m < x.rows; ++m) {
    for (index n = panels.begin * panel_width; n < end; ++n) {
      const float bias = e.bias == nullptr ? 0.0f : e.bias[n];
      float value;
      if (w.groups() == 1) {
        value = rescale(accumulate(x, w, m, n, 0), x.scales[m], w.scales[w.side_index(n, 0)], bias);
      } else {
        float partial = 0.0f;
        for (index g = 0; g < w.groups(); ++g)
          partial = add_group(accumulate(x, w, m, n, g), w.scales[w.side_index(n, g)], partial);
        value = rescale_groups(partial, x.scales[m], bias);
      }
      y(m, n) = e.has_residual() ? value + e.residual(m, n) : value;
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
