#pragma once
#include <algorithm>
#include <cmath>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/hadamard_run.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/reference/hadamard_rows.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {
namespace detail {

[[nodiscard]] inline FloatBatch hadamard_scale(index n) noexcept {
  return FloatBatch(static_cast<float>(1.0 / std::sqrt(static_cast<double>(n))));
}

}  // namespace detail

/// y = (x ⊙ signs) · (H_1 ⊗ H_2 ⊗ … ⊗ H_{2^a}) / √n for every row, to the bit as the reference does it. x, y: rows × n,
/// not aliased; scratch: hadamard_scratch_size elements. Short rows go through side by side.
PLANISH_ENTRY void hadamard_rows(MatrixView<const float> x, const HadamardPlanView& plan, const float* signs,
                                 MatrixView<float> y, std::span<float> scratch) noexcept {
  if (x.empty()) return;
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::hadamard_rows(x, plan, signs, y, scratch);
  const FloatBatch scale = detail::hadamard_scale(plan.size);
  const index most = std::min(hadamard_joint_rows(plan.size), x.rows());
  detail::HadamardRun run(plan, most, scratch);
  for (index first = 0; first < x.rows(); first += most) {
    const index joint = std::min(most, x.rows() - first), next = first + joint;
    run.load(x.middle_rows(first, joint), signs, next < x.rows() ? x.row(next) : nullptr);
    if (joint == 1 && run.transform(y.row(first), scale)) continue;
    if (joint > 1) static_cast<void>(run.transform(nullptr, scale));
    for (index t = 0; t < joint; ++t) run.store(y.row(first + t), t, scale);
  }
}

/// The codes of the rows of hadamard_rows, each quantized where it was made. Returns as quantize_rows does.
PLANISH_ENTRY index hadamard_codes(const RowsToCodes& job, const HadamardPlanView& plan, const float* signs) noexcept {
  if (job.x.empty()) return 0;
  const FloatBatch scale = detail::hadamard_scale(plan.size);
  const index most = std::min(hadamard_joint_rows(plan.size), job.x.rows());
  detail::HadamardRun run(plan, most, job.scratch);
  index bad_rows = 0;
  for (index first = 0; first < job.x.rows(); first += most) {
    const index joint = std::min(most, job.x.rows() - first);
    run.load(job.x.middle_rows(first, joint), signs, job.row_or_null(first + joint));
    float* made = joint == 1 ? run.transform_here(scale) : nullptr;
    if (made == nullptr) {
      if (joint > 1) static_cast<void>(run.transform(nullptr, scale));
      made = job.room.data();
      for (index t = 0; t < joint; ++t) run.store(job.room.row(t), t, scale);
    }
    bad_rows += quantize_rows(MatrixView<const float>(made, joint, plan.size, job.room.row_stride()), job.quantizer,
                              job.out.middle_rows(first, joint));
  }
  return bad_rows;
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
