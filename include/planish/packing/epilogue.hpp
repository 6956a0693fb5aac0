#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI {

/// What a product does with its result before it stores it: y = rescale(...) with the bias fused in, then + residual.
struct Epilogue {
  const float* bias = nullptr;            // one per output channel; null: none
  MatrixView<const float> residual = {};  // shape of y; empty: none. May be y itself.

  [[nodiscard]] bool has_residual() const noexcept { return residual.data() != nullptr; }
};

}  // namespace planish::inline PLANISH_ABI
