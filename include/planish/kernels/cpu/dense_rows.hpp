#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/panel_product.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/dense_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// y = x · A for every row, to the bit as the reference does it. x, y: rows × n, not aliased; a: n × n row-major.
PLANISH_ENTRY void dense_rows(MatrixView<const float> x, const float* a, MatrixView<float> y) noexcept {
  const index n = x.columns();
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::dense_rows(x, a, y);
  if (constexpr index panel = most_panel_vectors * float_lanes; n % panel == 0 && x.rows() > 0)
    return panel_product({x.data(), x.row_stride(), 1, a, n, y.data(), y.row_stride(), x.rows(), n, n});
  small_product({x.data(), x.row_stride(), 1, a, n, y.data(), y.row_stride(), x.rows(), n, n});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
