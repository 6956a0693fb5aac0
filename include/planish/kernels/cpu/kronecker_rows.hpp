#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/kronecker_joint.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Every row, reshaped to M (n1 × n2), becomes Lᵀ · (M · R), to the bit as the reference does it. Both products run
/// along n2; what lies between them stays in scratch, reference::kronecker_scratch_size elements.
PLANISH_ENTRY void kronecker_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                                  MatrixView<float> y, std::span<float> scratch) noexcept {
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::kronecker_rows(x, n1, n2, left, right, y, scratch);
  const index n = n1 * n2;
  if (left == nullptr) {
    if (right != nullptr && x.row_stride() == n && y.row_stride() == n) {
      small_product({x.data(), n2, 1, right, n2, y.data(), n2, x.rows() * n1, n2, n2});
      return;
    }
    for (index r = 0; r < x.rows(); ++r) {
      if (right != nullptr)
        small_product({x.row(r), n2, 1, right, n2, y.row(r), n2, n1, n2, n2});
      else
        detail::copy_run(x.row(r), y.row(r), n);
    }
    return;
  }
  index r = 0;
  if (const index joint = detail::joint_rows(n2); joint > 1)
    for (; r + joint <= x.rows(); r += joint)
      detail::kronecker_joint(x.middle_rows(r, joint), n1, n2, left, right, y.middle_rows(r, joint), joint,
                              scratch.data());
  for (; r < x.rows(); ++r) {
    const float* m = x.row(r);
    if (right != nullptr) {
      small_product({m, n2, 1, right, n2, scratch.data(), n2, n1, n2, n2});
      m = scratch.data();
    }
    // Meanwhile memory brings the next row.
    small_product({left, 1, n1, m, n2, y.row(r), n2, n1, n1, n2, r + 1 < x.rows() ? x.row(r + 1) : nullptr});
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
