#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/core/matrix_view.hpp>

namespace llama {

/// Raises `largest` to max |x_j| of every column j.
inline void raise_to_column_magnitudes(planish::MatrixView<const float> x, std::vector<float>& largest) {
  for (planish::index r = 0; r < x.rows(); ++r)
    for (std::size_t c = 0; c < largest.size(); ++c) largest[c] = std::max(largest[c], std::fabs(x.row(r)[c]));
}

/// max |x_j| of every column.
[[nodiscard]] inline std::vector<float> column_magnitudes(planish::MatrixView<const float> x) {
  std::vector<float> largest(static_cast<std::size_t>(x.columns()));
  raise_to_column_magnitudes(x, largest);
  return largest;
}

/// Fourth central moment over the squared variance of each row, averaged over the rows that vary: rows, because every
/// row is quantized with a scale of its own. A normal distribution has 3, a single spike among n zeros about n.
[[nodiscard]] inline double mean_row_kurtosis(planish::MatrixView<const float> x) {
  const auto n = static_cast<double>(x.columns());
  double sum = 0.0;
  planish::index rows = 0;
  for (planish::index r = 0; r < x.rows(); ++r) {
    double mean = 0.0, second = 0.0, fourth = 0.0;
    for (planish::index c = 0; c < x.columns(); ++c) mean += static_cast<double>(x(r, c)) / n;
    for (planish::index c = 0; c < x.columns(); ++c) {
      const double square = std::pow(static_cast<double>(x(r, c)) - mean, 2);
      second += square / n;
      fourth += square * square / n;
    }
    if (!(second > 0.0)) continue;
    sum += fourth / (second * second);
    ++rows;
  }
  return rows == 0 ? 0.0 : sum / static_cast<double>(rows);
}

/// ||y_q - y|| and ||y|| of several matrices together.
class RelativeError {
 public:
  void add(planish::MatrixView<const float> quantized, planish::MatrixView<const float> exact) {
    for (planish::index r = 0; r < exact.rows(); ++r)
      for (planish::index c = 0; c < exact.columns(); ++c) {
        const auto y = static_cast<double>(exact(r, c));
        const double off = static_cast<double>(quantized(r, c)) - y;
        error_ += off * off;
        size_ += y * y;
      }
  }
  /// 0 where both are nothing.
  [[nodiscard]] double value() const { return size_ > 0.0 ? std::sqrt(error_ / size_) : 0.0; }

 private:
  double error_ = 0.0, size_ = 0.0;
};

}  // namespace llama
