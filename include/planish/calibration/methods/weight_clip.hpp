#pragma once
#include <algorithm>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/core/scheme.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Learned weight clipping as FlatQuant does it (arXiv 2410.09426, §3.1): every row of w (out × in) is clamped to
/// [negative · min, positive · max] by its own pair, where min and max count 0 in, in float64 and in place. What is
/// quantized afterwards takes its scale from the clamped row. `shape_mismatch` unless there is one pair per row.
[[nodiscard]] inline Status clip_rows(MatrixView<double> w, std::span<const ClipPair> clips) noexcept {
  if (static_cast<index>(clips.size()) != w.rows())
    return Status(ErrorCode::shape_mismatch, clips.size(), " clip pairs for ", w.rows(), " rows of weights");
  for (index r = 0; r < w.rows(); ++r) {
    double lowest = 0.0, highest = 0.0;
    for (index c = 0; c < w.columns(); ++c) {
      lowest = std::min(lowest, w(r, c));
      highest = std::max(highest, w(r, c));
    }
    const ClipPair clip = clips[static_cast<std::size_t>(r)];
    lowest *= static_cast<double>(clip.negative);
    highest *= static_cast<double>(clip.positive);
    for (index c = 0; c < w.columns(); ++c) w(r, c) = std::min(std::max(w(r, c), lowest), highest);
  }
  return {};
}

}  // namespace planish::inline PLANISH_ABI::calibration
