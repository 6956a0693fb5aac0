#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Observer of activations (tokens × channels): the mean of every channel over all rows seen, summed in float64.
class ChannelMean {
 public:
  explicit ChannelMean(index channels) : sums_(static_cast<std::size_t>(channels)) {}

  [[nodiscard]] index channels() const noexcept { return static_cast<index>(sums_.size()); }
  [[nodiscard]] index rows() const noexcept { return rows_; }

  /// Takes every row in, or none: NaN and infinity are refused by row and channel.
  Status observe(MatrixView<const float> x) {
    if (x.columns() != channels())
      return Status(ErrorCode::shape_mismatch, "observing ", x.columns(), " channels with means of ", channels());
    std::vector<double> sums(sums_);
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c) sums[static_cast<std::size_t>(c)] += static_cast<double>(x(r, c));
    for (index c = 0; c < channels(); ++c)  // floats do not overflow a float64: such a sum has such a term
      if (!std::isfinite(sums[static_cast<std::size_t>(c)])) return refuse(x, c);
    sums_.swap(sums);
    rows_ += x.rows();
    return {};
  }

  /// Rounded to float; zeros before the first row.
  [[nodiscard]] std::vector<float> mean() const {
    std::vector<float> mean;
    for (double sum : sums_) mean.push_back(static_cast<float>(sum / static_cast<double>(std::max<index>(rows_, 1))));
    return mean;
  }

 private:
  [[nodiscard]] static Status refuse(MatrixView<const float> x, index channel) noexcept {
    index row = 0;
    while (std::isfinite(x(row, channel))) ++row;
    return Status(ErrorCode::not_finite, "activation is not finite at row ", row, ", channel ", channel);
  }

  std::vector<double> sums_;  // per channel
  index rows_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::calibration
