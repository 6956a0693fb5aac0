#pragma once
// Products of float rows and packed weights: each weight is (stored − zero) · scale in float, then as multiply_float.
#include <algorithm>
#include <cstddef>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// y = x · wᵀ + bias + residual; only channels of the given panels are computed. y is rows × channels. Equal to the bit
/// to multiply_float on the dequantized weights.
inline void multiply_weight_only(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e,
                                 MatrixView<float> y, Range panels, std::span<std::byte> /*scratch*/) noexcept {
  const index end = std::min(w.rows, panels.end * panel_width);
  for (index m = 0; m < x.rows(); ++m) {
    for (index n = panels.begin * panel_width; n < end; ++n) {
      float sum = 0.0f;
      for (index k = 0; k < w.columns; ++k) sum = multiply_add(x(m, k), w.value(n, k), sum);
      if (e.bias != nullptr) sum += e.bias[n];
      y(m, n) = e.has_residual() ? sum + e.residual(m, n) : sum;
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
