#pragma once
#include <cmath>
#include <vector>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Observer of activations (tokens × channels): least and greatest value of every channel over all rows seen.
/// Mergeable, so that batches may be observed apart.
class ChannelRange {
 public:
  explicit ChannelRange(index channels)
      : lowest_(static_cast<std::size_t>(channels), HUGE_VALF), highest_(lowest_.size(), -HUGE_VALF) {}

  [[nodiscard]] index channels() const noexcept { return static_cast<index>(lowest_.size()); }
  [[nodiscard]] index rows() const noexcept { return rows_; }

  /// Takes every row in, or none: NaN and infinity are refused by row and channel.
  Status observe(MatrixView<const float> x) noexcept {
    if (x.columns() != channels())
      return Status(ErrorCode::shape_mismatch, "observing ", x.columns(), " channels with statistics of ", channels());
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c)
        if (!std::isfinite(x(r, c)))
          return Status(ErrorCode::not_finite, "activation is not finite at row ", r, ", channel ", c);
    for (index r = 0; r < x.rows(); ++r)
      for (index c = 0; c < x.columns(); ++c) {
        const auto i = static_cast<std::size_t>(c);
        lowest_[i] = std::fmin(lowest_[i], x(r, c));
        highest_[i] = std::fmax(highest_[i], x(r, c));
      }
    rows_ += x.rows();
    return {};
  }

  Status merge(const ChannelRange& other) noexcept {
    if (other.channels() != channels())
      return Status(ErrorCode::shape_mismatch, "merging statistics of ", other.channels(), " and ", channels(),
                    " channels");
    for (std::size_t i = 0; i < lowest_.size(); ++i) {
      lowest_[i] = std::fmin(lowest_[i], other.lowest_[i]);
      highest_[i] = std::fmax(highest_[i], other.highest_[i]);
    }
    rows_ += other.rows_;
    return {};
  }

  /// Range of one channel; meaningless before the first row.
  [[nodiscard]] ValueRange operator[](index channel) const noexcept {
    return {lowest_[static_cast<std::size_t>(channel)], highest_[static_cast<std::size_t>(channel)]};
  }

  /// max |x| of one channel.
  [[nodiscard]] float magnitude(index channel) const noexcept {
    const auto [low, high] = (*this)[channel];
    return std::fmax(std::fabs(low), std::fabs(high));
  }

  /// Range over all channels.
  [[nodiscard]] ValueRange whole() const noexcept {
    ValueRange range;
    for (std::size_t i = 0; i < lowest_.size(); ++i) {
      range.lowest = std::fmin(range.lowest, lowest_[i]);
      range.highest = std::fmax(range.highest, highest_[i]);
    }
    return range;
  }

 private:
  std::vector<float> lowest_, highest_;  // per channel
  index rows_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::calibration
