#pragma once
#include <algorithm>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/transpose.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Panel `panel` of w (channels × columns, any strides) as [column][32 channels], zeros behind the last channel: one
/// panel of FloatPanelsView, for weights that live for one product. Fast where rows or columns of w are dense.
inline void pack_float_panel(MatrixView<const float> w, index panel, float* to) noexcept {
  const index first = panel * panel_width, channels = std::min(panel_width, w.rows() - first);
  const index columns = w.columns();
  if (w.row_stride() == 1) {
    constexpr index ahead = 16;  // columns
    for (index c = 0; c < columns; ++c, to += panel_width) {
      const float* from = &w(first, c);
      __builtin_prefetch(from + ahead * w.column_stride());
      __builtin_prefetch(from + ahead * w.column_stride() + panel_width / 2);
      if (channels == panel_width) {
        std::memcpy(to, from, panel_width * sizeof(float));
      } else {
        std::copy_n(from, channels, to);
        std::fill_n(to + channels, panel_width - channels, 0.0f);
      }
    }
    return;
  }
  if (channels < panel_width) std::fill_n(to, columns * panel_width, 0.0f);
  if (w.has_dense_rows()) return transpose(w.row(first), w.row_stride(), channels, columns, to, panel_width);
  for (index c = 0; c < columns; ++c)
    for (index r = 0; r < channels; ++r) to[c * panel_width + r] = w(first + r, c);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
