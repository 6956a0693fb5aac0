#pragma once
#include <algorithm>
#include <vector>

#include <planish/calibration/channel_range.hpp>

#include "require.hpp"

namespace llama {

/// Observer of the range that a channel usually spans: least and greatest value of every run of a few tokens, averaged
/// over the runs. A single extreme token hardly moves it, so its midrange is where most tokens lie.
class TypicalRange {
 public:
  static constexpr planish::index run = 16;  // tokens

  explicit TypicalRange(planish::index channels)
      : lowest_(static_cast<std::size_t>(channels)), highest_(lowest_.size()) {}

  /// The tokens of one sequence, tokens × channels. Its first token is passed over: in most models of the family it is
  /// an attention sink, with a few channels a hundred times larger than any other token's.
  void observe(planish::MatrixView<const float> x) {
    using planish::index;
    for (index first = 1; first < x.rows(); first += run) {
      const auto tokens = x.middle_rows(first, std::min(run, x.rows() - first));
      planish::calibration::ChannelRange range(x.columns());
      require(range.observe(tokens), "calibration");
      for (std::size_t c = 0; c < lowest_.size(); ++c) {
        lowest_[c] += static_cast<double>(range[static_cast<index>(c)].lowest);
        highest_[c] += static_cast<double>(range[static_cast<index>(c)].highest);
      }
      ++runs_;
    }
  }

  /// The averages as a range; without rows before the first run.
  [[nodiscard]] planish::calibration::ChannelRange range() const {
    const auto channels = static_cast<planish::index>(lowest_.size());
    planish::calibration::ChannelRange range(channels);
    std::vector<float> ends;
    for (const auto* sums : {&lowest_, &highest_})
      for (double sum : *sums) ends.push_back(static_cast<float>(sum / static_cast<double>(runs_)));
    if (runs_ > 0) require(range.observe({ends.data(), 2, channels}), "calibration");
    return range;
  }

 private:
  std::vector<double> lowest_, highest_;  // sums over runs, per channel
  planish::index runs_ = 0;
};

}  // namespace llama
