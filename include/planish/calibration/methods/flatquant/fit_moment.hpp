#pragma once
// FlatQuant on one site from the second moment of its inputs, where no activations were kept.
#include <algorithm>
#include <cmath>
#include <vector>

#include <Eigen/Cholesky>

#include <planish/calibration/methods/flatquant/fit.hpp>
#include <planish/calibration/second_moment.hpp>

namespace planish::inline PLANISH_ABI::calibration {

namespace detail {

/// R (n × n) with RᵀR / n = E[xᵀx]: n rows that a mean squared error takes for the inputs themselves, ‖R D‖² / n =
/// E‖x D‖². A pivoted factorisation, so that dead and dependent channels are no error.
PLANISH_LAZY [[nodiscard]] std::vector<float> rows_of_moment(const SecondMoment& moment) {
  const index n = moment.channels();
  const Eigen::LDLT<DoubleMatrix> factors(moment.moment());
  DoubleMatrix r = factors.transpositionsP() * DoubleMatrix::Identity(n, n);
  r = factors.matrixU() * r;
  for (index i = 0; i < n; ++i) r.row(i) *= std::sqrt(std::max(factors.vectorD()(i), 0.0) * static_cast<double>(n));
  std::vector<float> rows(static_cast<std::size_t>(n * n));
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) rows[static_cast<std::size_t>(i * n + j)] = static_cast<float>(r(i, j));
  return rows;
}

}  // namespace detail

template <int>
Result<SiteFit> FlatQuant::fit(const SecondMoment& moment, std::span<const MatrixView<const float>> weights,
                               const SiteBitwidths& bits, ExecutorReference executor,
                               const std::function<bool(const LearnProgress&)>& on_step) const {
  if (bits.activations != 16)
    return Status(ErrorCode::invalid_argument, "second moments say nothing about the error of ", bits.activations,
                  "-bit activations; fit from rows of input, or keep activations at 16 bits");
  if (moment.rows() == 0) return Status(ErrorCode::invalid_argument, "a second moment of no rows");
  const std::vector<float> rows = detail::rows_of_moment(moment);
  const index n = moment.channels();
  FlatQuant squared = *this;
  squared.loss = Loss::mean_squared_error;
  squared.rows_per_step = n;  // only all rows together stand for the inputs
  return squared.fit(MatrixView<const float>(rows.data(), n, n), weights, bits, SiteObjective::layer, executor,
                     on_step);
}

}  // namespace planish::inline PLANISH_ABI::calibration
