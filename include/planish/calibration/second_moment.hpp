#pragma once
#include <cmath>
#include <span>
#include <vector>

#include <Eigen/Core>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI::calibration {

using DoubleMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using DoubleRow = Eigen::Matrix<double, 1, Eigen::Dynamic>;

/// Observer of activations (tokens × channels): S = Σ xᵀx and μ = Σ x in float64, the reusable artefact of a site. What
/// GPTQ and weight-only objectives need under any transform follows from it without running the model again.
class SecondMoment {
 public:
  explicit SecondMoment(index channels)
      : sum_of_products_(DoubleMatrix::Zero(channels, channels)), sum_(DoubleRow::Zero(channels)) {}

  [[nodiscard]] index channels() const noexcept { return sum_.cols(); }
  [[nodiscard]] index rows() const noexcept { return rows_; }

  /// Takes every row in, or none: NaN and infinity are refused.
  PLANISH_LAZY Status observe(MatrixView<const float> x) {
    if (x.columns() != channels())
      return Status(ErrorCode::shape_mismatch, "observing ", x.columns(), " channels with second moments of ",
                    channels());
    DoubleMatrix rows(x.rows(), x.columns());
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c) {
        if (!std::isfinite(x(r, c)))
          return Status(ErrorCode::not_finite, "activation is not finite at row ", r, ", channel ", c);
        rows(r, c) = static_cast<double>(x(r, c));
      }
    sum_of_products_.selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
    sum_ += rows.colwise().sum();
    rows_ += x.rows();
    return {};
  }

  PLANISH_LAZY Status merge(const SecondMoment& other) {
    if (other.channels() != channels())
      return Status(ErrorCode::shape_mismatch, "merging second moments of ", other.channels(), " and ", channels(),
                    " channels");
    sum_of_products_ += other.sum_of_products_;
    sum_ += other.sum_;
    rows_ += other.rows_;
    return {};
  }

  /// E[xᵀx], symmetric, channels × channels.
  PLANISH_LAZY [[nodiscard]] DoubleMatrix moment() const {
    DoubleMatrix full = sum_of_products_.selfadjointView<Eigen::Lower>();
    return full / static_cast<double>(rows_ > 0 ? rows_ : 1);
  }

  /// E[x].
  [[nodiscard]] DoubleRow mean() const { return sum_ / static_cast<double>(rows_ > 0 ? rows_ : 1); }

 private:
  DoubleMatrix sum_of_products_;  // lower triangle
  DoubleRow sum_;
  index rows_ = 0;
};

/// E[T(x)ᵀT(x)] from E[xᵀx] and E[x]: Aᵀ(S − μᵀz − zᵀμ + zᵀz)A for T(x) = (x − z)A, exact. `transform` is anything with
/// `scratch_size(rows)` and `apply(x, y, scratch)` in float64.
template <class Transform>
[[nodiscard]] DoubleMatrix transformed_moment(const SecondMoment& statistics, const Transform& transform) {
  const index n = statistics.channels();
  std::vector<double> scratch(static_cast<std::size_t>(transform.scratch_size(n)));
  const auto apply = [&](const DoubleMatrix& rows) {
    DoubleMatrix out(rows.rows(), n);
    transform.apply(MatrixView<const double>(rows.data(), rows.rows(), n),
                    MatrixView<double>(out.data(), rows.rows(), n), std::span<double>(scratch));
    return out;
  };
  const DoubleRow offset = apply(DoubleMatrix::Zero(1, n));  // T(0) = −zA
  const auto apply_linear = [&](const DoubleMatrix& rows) { return DoubleMatrix(apply(rows).rowwise() - offset); };
  const DoubleRow mean = apply_linear(DoubleMatrix(statistics.mean()));
  const DoubleMatrix right = apply_linear(statistics.moment());
  DoubleMatrix moment = apply_linear(DoubleMatrix(right.transpose()));
  moment += mean.transpose() * offset + offset.transpose() * mean + offset.transpose() * offset;
  return moment;
}

}  // namespace planish::inline PLANISH_ABI::calibration
