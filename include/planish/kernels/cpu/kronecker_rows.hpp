#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/kronecker_joint.hpp>
#include <planish/kernels/cpu/kronecker_panels.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// The right factor alone.
inline void kronecker_right_rows(MatrixView<const float> x, index n1, index n2, const float* right,
                                 MatrixView<float> y) noexcept {
  const index n = n1 * n2;
  if (right != nullptr && x.row_stride() == n && y.row_stride() == n)
    return small_product({x.data(), n2, 1, right, n2, y.data(), n2, x.rows() * n1, n2, n2});
  for (index r = 0; r < x.rows(); ++r) {
    if (right != nullptr)
      small_product({x.row(r), n2, 1, right, n2, y.row(r), n2, n1, n2, n2});
    else
      copy_run(x.row(r), y.row(r), n);
  }
}

/// Both factors, or the left one alone, without panels: what is too narrow or too wide for them, or a single row.
inline void kronecker_plain_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                                 MatrixView<float> y, std::span<float> scratch) noexcept {
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
  if (left == nullptr) return detail::kronecker_right_rows(x, n1, n2, right, y);
  if (!reference::kronecker_has_panels(n2)) return detail::kronecker_plain_rows(x, n1, n2, left, right, y, scratch);
  const auto row = [&](index r) { return r < x.rows() ? x.row(r) : nullptr; };
  const index done = detail::for_each_kronecker_group(
      {n1, n2, left, right, x.rows(), scratch}, x.rows(), row, [&](index r) { return y.row(r); }, [](index, index) {});
  if (done < x.rows())
    detail::kronecker_plain_rows(x.middle_rows(done, x.rows() - done), n1, n2, left, right,
                                 y.middle_rows(done, x.rows() - done), scratch);
}

/// The codes of the rows of kronecker_rows, each quantized where it was made. Returns as quantize_rows does.
PLANISH_ENTRY index kronecker_codes(const RowsToCodes& job, index n1, index n2, const float* left,
                                    const float* right) noexcept {
  const index rows = job.x.rows();
  index done = 0, bad_rows = 0;
  if (left != nullptr && reference::kronecker_has_panels(n2)) {
    done = detail::for_each_kronecker_group(
        {n1, n2, left, right, rows, job.scratch}, rows, [&](index r) { return job.row_or_null(r); },
        [&](index r) { return job.room.row(r % 2); },
        [&](index first, index count) {
          bad_rows += quantize_rows(MatrixView<const float>(job.room.middle_rows(first % 2, count)), job.quantizer,
                                    job.out.middle_rows(first, count));
        });
  }
  if (const index left_over = rows - done; left_over > 0) {
    const MatrixView<float> room = job.room.middle_rows(0, left_over);
    kronecker_rows(job.x.middle_rows(done, left_over), n1, n2, left, right, room, job.scratch);
    bad_rows += quantize_rows(MatrixView<const float>(room), job.quantizer, job.out.middle_rows(done, left_over));
  }
  return bad_rows;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
