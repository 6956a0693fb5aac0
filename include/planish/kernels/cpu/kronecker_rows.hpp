#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/kronecker_joint.hpp>
#include <planish/kernels/cpu/kronecker_panels.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// The right factor alone.
PLANISH_LAZY void kronecker_right_rows(MatrixView<const float> x, index n1, index n2, const float* right,
                                       MatrixView<float> y, std::span<float> scratch) noexcept {
  const index n = n1 * n2, together = x.row_stride() == n && y.row_stride() == n ? x.rows() : 1;
  constexpr index one_panel = most_panel_vectors * float_lanes, enough = 4;  // times the factor's rows pay for a copy
  if (right != nullptr && reference::kronecker_has_panels(n2) && n2 > one_panel && n2 % float_lanes == 0 &&
      x.rows() * n1 >= enough * n2) {
    float* const packed = on_a_line(scratch);
    pack_panels(right, n2, n2, 1, packed);
    for (index r = 0; r < x.rows(); r += together)
      panel_product({x.row(r), n2, 1, packed, 0, y.row(r), n2, together * n1, n2, n2});
    return;
  }
  if (right != nullptr && together == x.rows())
    return small_product({x.data(), n2, 1, right, n2, y.data(), n2, x.rows() * n1, n2, n2});
  for (index r = 0; r < x.rows(); ++r) {
    if (right != nullptr)
      small_product({x.row(r), n2, 1, right, n2, y.row(r), n2, n1, n2, n2});
    else
      copy_run(x.row(r), y.row(r), n);
  }
}

/// Both factors, or the left one alone, without panels: what is too narrow or too wide for them, or a single row.
PLANISH_LAZY void kronecker_plain_rows(MatrixView<const float> x, index n1, index n2, const float* left,
                                       const float* right, MatrixView<float> y, std::span<float> scratch) noexcept {
  index r = 0;
  if (const index joint = joint_rows(n2); joint > 1)
    for (; r + joint <= x.rows(); r += joint)
      kronecker_joint(x.middle_rows(r, joint), n1, n2, left, right, y.middle_rows(r, joint), joint, scratch.data());
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

}  // namespace detail

/// Every row, reshaped to M (n1 × n2), becomes Lᵀ · (M · R), to the bit as the reference does it. Both products run
/// along n2; what lies between them stays in scratch, reference::kronecker_scratch_size elements.
PLANISH_ENTRY void kronecker_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                                  MatrixView<float> y, std::span<float> scratch) noexcept {
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::kronecker_rows(x, n1, n2, left, right, y, scratch);
  if (left == nullptr) return detail::kronecker_right_rows(x, n1, n2, right, y, scratch);
  if (!reference::kronecker_has_panels(n2)) return detail::kronecker_plain_rows(x, n1, n2, left, right, y, scratch);
  const detail::KroneckerPanels run(n1, n2, left, right, x.rows(), scratch);
  const auto row_or_null = [&](index row) { return row < x.rows() ? x.row(row) : nullptr; };
  index r = 0;
  if (run.abreast() == 1) {
    for (; r < x.rows(); ++r) run.one(x.row(r), y.row(r), row_or_null(r + 1));
  } else {
    for (; r + 2 <= x.rows(); r += 2)
      separate(run.two(x.row(r), x.row(r + 1), nullptr, row_or_null(r + 2), row_or_null(r + 3)), y.row(r), y.row(r + 1),
               n1 * n2);
  }
  if (r < x.rows())
    detail::kronecker_plain_rows(x.middle_rows(r, x.rows() - r), n1, n2, left, right, y.middle_rows(r, x.rows() - r),
                                 scratch);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
