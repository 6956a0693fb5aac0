#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Every row, reshaped to M (n1 × n2), becomes Lᵀ · (M · R), to the bit as the reference does it. Both products run
/// along n2; the row between them stays in scratch, reference::kronecker_scratch_size elements.
inline void kronecker_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                           MatrixView<float> y, std::span<float> scratch) noexcept {
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::kronecker_rows(x, n1, n2, left, right, y, scratch);
  const index n = n1 * n2;
  if (left == nullptr && right != nullptr && x.row_stride() == n && y.row_stride() == n) {
    small_product({x.data(), n2, 1, right, n2, y.data(), n2, x.rows() * n1, n2, n2});
    return;
  }
  for (index r = 0; r < x.rows(); ++r) {
    const float* m = x.row(r);
    if (right != nullptr) {
      float* product = left != nullptr ? scratch.data() : y.row(r);
      small_product({m, n2, 1, right, n2, product, n2, n1, n2, n2});
      m = product;
    }
    if (left != nullptr) {
      small_product({left, 1, n1, m, n2, y.row(r), n2, n1, n1, n2});
    } else if (right == nullptr) {
      for (index i = 0; i < n; ++i) y(r, i) = m[i];
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
