#pragma once
#include <cstddef>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/float_tiles.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/float_panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// y = x · wᵀ + bias + residual; only channels of the given panels are computed. y is rows × channels.
PLANISH_ENTRY void multiply_float(MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& e,
                                  MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  multiply_float_panels(
      x, w.rows, e, y, panels, scratch,
      [&](index panel, index first, index /*count*/, float* /*room*/) { return w.panel(panel) + first * panel_width; });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
