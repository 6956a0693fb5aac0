#pragma once
#include <span>
#include <vector>

#include <planish/linear/any_transform.hpp>

#include "statistics.hpp"

namespace llama {

using planish::AnyTransform;
using planish::calibration::ChannelRange;

/// Rows (count × channels) after a stage.
[[nodiscard]] inline std::vector<float> rows_after(const AnyTransform& stage, const std::vector<float>& rows) {
  const index n = stage.size(), count = static_cast<index>(rows.size()) / n;
  std::vector<float> after(rows.size()), scratch(static_cast<std::size_t>(stage.scratch_size(count)));
  stage.apply(MatrixView<const float>(rows.data(), count, n), MatrixView<float>(after.data(), count, n),
              std::span<float>(scratch));
  return after;
}

/// The range of every channel after a stage that mixes none: both ends are moved like two rows.
[[nodiscard]] inline ChannelRange moved(const ChannelRange& range, const AnyTransform& stage) {
  const index n = range.channels();
  ChannelRange after(n);
  if (range.rows() == 0) return after;
  std::vector<float> ends(static_cast<std::size_t>(2 * n));
  for (index c = 0; c < n; ++c) {
    ends[static_cast<std::size_t>(c)] = range[c].lowest;
    ends[static_cast<std::size_t>(n + c)] = range[c].highest;
  }
  ends = rows_after(stage, ends);
  require(after.observe({ends.data(), 2, n}), "calibration");
  return after;
}

/// What is known of a site's input after the stages so far.
struct SiteActivations {
  ChannelRange range, typical_range;  // of all tokens, of most; see SiteStatistics
  std::vector<float> rows;            // tokens × channels, or empty
  std::vector<index> starts;          // rows that start a sequence

  explicit SiteActivations(index channels) : range(channels), typical_range(channels) {}
  explicit SiteActivations(const SiteStatistics& seen)
      : range(seen.range), typical_range(seen.typical.range()), rows(seen.rows), starts(seen.starts) {}

  void advance(const AnyTransform& stage, bool mixes) {
    const index n = stage.size();
    if (rows.empty()) {
      range = mixes ? ChannelRange(n) : moved(range, stage);
      typical_range = mixes ? ChannelRange(n) : moved(typical_range, stage);
      return;
    }
    rows = rows_after(stage, rows);
    const MatrixView<const float> view(rows.data(), static_cast<index>(rows.size()) / n, n);
    range = ChannelRange(n);
    require(range.observe(view), "calibration");
    TypicalRange typical(n);
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const index end = i + 1 < starts.size() ? starts[i + 1] : view.rows();
      typical.observe(view.middle_rows(starts[i], end - starts[i]));
    }
    typical_range = typical.range();
  }
};

}  // namespace llama
