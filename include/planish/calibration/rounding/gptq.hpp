#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <planish/calibration/second_moment.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/executor.hpp>
#include <planish/packing/codes.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// GPTQ (arXiv 2210.17323): rounds a weight matrix column by column and pushes each column's error into the columns
/// that are still to come, weighed by the second moment of the inputs. Scales and zero points are fixed beforehand (for
/// groups: from the original weights), so a clip found earlier stays in force and activation order costs nothing at run
/// time.
struct Gptq {
  double damping = 0.01;          ///< of the mean diagonal of the second moment
  index block = 128;              ///< columns per lazy update; does not change the result beyond rounding
  bool activation_order = false;  ///< columns with the largest second moment first

  /// Rewrites the codes of `codes` (out × in, its scales set) for weights `w` (out × in) and `moment` = E[xᵀx] (in ×
  /// in) of the same, already transformed, inputs. Fails with `singular` if the damped moment has no Cholesky factor.
  PLANISH_LAZY [[nodiscard]] Status round(MatrixView<const double> w, const DoubleMatrix& moment, Codes& codes,
                                          ExecutorReference executor = {}) const {
    const index rows = w.rows(), columns = w.columns();
    const CodesView view = codes.view();
    if (view.rows != rows || view.columns != columns || moment.rows() != columns || moment.cols() != columns)
      return Status(ErrorCode::shape_mismatch, "GPTQ: weights ", rows, " x ", columns, ", codes ", view.rows, " x ",
                    view.columns, ", second moment ", moment.rows(), " x ", moment.cols());
    if (rows == 0 || columns == 0) return {};
    if (!(damping > 0.0) || block < 1)
      return Status(ErrorCode::invalid_argument, "GPTQ: damping and block must be positive");
    if (!moment.allFinite()) return Status(ErrorCode::not_finite, "GPTQ: the second moment holds NaN or infinity");

    const std::vector<index> order = column_order(moment);
    std::vector<char> dead(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) dead[i] = moment(order[i], order[i]) == 0.0;
    Result<DoubleMatrix> factor = error_factor(moment, order, dead);
    if (!factor) return factor.status();

    const int tasks = static_cast<int>(std::min<index>(executor.workers() * 4, rows));
    executor.run(tasks, [&](int task, int) {
      const Range range = part_of(rows, task, tasks);
      round_rows(w.middle_rows(range.begin, range.end - range.begin), range.begin, *factor, order, dead, view,
                 codes.codes());
    });
    return {};
  }

 private:
  [[nodiscard]] std::vector<index> column_order(const DoubleMatrix& moment) const {
    std::vector<index> order(static_cast<std::size_t>(moment.cols()));
    std::iota(order.begin(), order.end(), index{0});
    if (activation_order)
      std::sort(order.begin(), order.end(),
                [&](index a, index b) { return moment(a, a) != moment(b, b) ? moment(a, a) > moment(b, b) : a < b; });
    return order;
  }

  /// Upper U with H⁻¹ = UᵀU, H the damped second moment in `order`: one Cholesky of the reversed H and one inverse.
  PLANISH_LAZY [[nodiscard]] Result<DoubleMatrix> error_factor(const DoubleMatrix& moment,
                                                               const std::vector<index>& order,
                                                               const std::vector<char>& dead) const {
    const index n = moment.cols();
    const double added = damping * moment.diagonal().mean();
    DoubleMatrix reversed(n, n);
    for (index i = 0; i < n; ++i)
      for (index j = 0; j < n; ++j) {
        const auto a = static_cast<std::size_t>(n - 1 - i), b = static_cast<std::size_t>(n - 1 - j);
        reversed(i, j) = moment(order[a], order[b]);
        if (i == j) reversed(i, j) = (dead[a] ? 1.0 : reversed(i, j)) + added;
      }
    const Eigen::LLT<DoubleMatrix> cholesky(reversed);
    if (cholesky.info() != Eigen::Success)
      return Status(ErrorCode::singular, "GPTQ: the second moment is not positive definite; raise the damping");
    const DoubleMatrix lower = cholesky.matrixL();
    DoubleMatrix upper = lower.reverse();
    return DoubleMatrix(upper.triangularView<Eigen::Upper>().solve(DoubleMatrix::Identity(n, n)));
  }

  PLANISH_LAZY void round_rows(MatrixView<const double> w, index first_row, const DoubleMatrix& factor,
                               const std::vector<index>& order, const std::vector<char>& dead, const CodesView& view,
                               std::span<std::uint8_t> codes) const {
    const index rows = w.rows(), columns = w.columns();
    const CodeRange range = code_range(view.bits, view.symmetry);
    DoubleMatrix rest(rows, columns);  // weights still to be rounded, errors of the earlier columns already pushed in
    for (index r = 0; r < rows; ++r)
      for (index c = 0; c < columns; ++c) rest(r, c) = w(r, order[static_cast<std::size_t>(c)]);
    for (index begin = 0; begin < columns; begin += block) {
      const index width = std::min(block, columns - begin), after = columns - begin - width;
      DoubleMatrix errors(rows, width);
      for (index i = begin; i < begin + width; ++i) {
        const index column = order[static_cast<std::size_t>(i)];
        for (index r = 0; r < rows; ++r) {
          const Affine affine = view.affine(first_row + r, column / view.group_size);
          const double value = dead[static_cast<std::size_t>(i)] ? 0.0 : rest(r, i);
          const std::int32_t code = to_code(static_cast<float>(value), affine, range);
          codes[static_cast<std::size_t>((first_row + r) * columns + column)] = static_cast<std::uint8_t>(code);
          errors(r, i - begin) = (value - static_cast<double>(to_value(code, affine))) / factor(i, i);
        }
        const index left = begin + width - i - 1;
        rest.middleCols(i + 1, left).noalias() -= errors.col(i - begin) * factor.row(i).segment(i + 1, left);
      }
      rest.rightCols(after).noalias() -= errors * factor.block(begin, begin + width, width, after);
    }
  }
};

}  // namespace planish::inline PLANISH_ABI::calibration
