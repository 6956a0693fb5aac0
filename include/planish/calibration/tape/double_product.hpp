#pragma once
// The product of a tape in float64, which is for checks: Eigen's.
#include <Eigen/Core>

#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// Gives use(map) a matrix with dense rows or dense columns as Eigen sees it.
template <class Use>
void with_eigen(MatrixView<const double> x, Use&& use) {
  constexpr auto any = Eigen::Dynamic;
  using Stride = Eigen::OuterStride<>;
  if (x.has_dense_rows())
    use(Eigen::Map<const Eigen::Matrix<double, any, any, Eigen::RowMajor>, 0, Stride>(x.data(), x.rows(), x.columns(),
                                                                                      Stride(x.row_stride())));
  else
    use(Eigen::Map<const Eigen::Matrix<double, any, any, Eigen::ColMajor>, 0, Stride>(x.data(), x.rows(), x.columns(),
                                                                                      Stride(x.column_stride())));
}

/// c (m × n) = a · bᵀ where c is fresh, else c += a · bᵀ; a: m × k, b: n × k, each with dense rows or dense columns,
/// and c with dense rows. Blocks of rows are products of one thread, so that sums do not depend on how many there are.
PLANISH_LAZY void multiply_into(Tape<double>& tape, MatrixView<const double> a, MatrixView<const double> b,
                                GradientTarget<double> c) {
  constexpr index rows_together = 128;
  for_row_blocks(tape.executor(), a.rows(), rows_together, [&](index first, index count) {
    with_eigen(a.middle_rows(first, count), [&](const auto& left) {
      with_eigen(b, [&](const auto& right) {
        Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>> to(
            c.at.row(first), count, b.rows(), Eigen::OuterStride<>(c.at.row_stride()));
        if (c.fresh)
          to.noalias() = left * right.transpose();
        else
          to.noalias() += left * right.transpose();
      });
    });
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
