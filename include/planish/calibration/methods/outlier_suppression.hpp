#pragma once
#include <vector>

#include <planish/calibration/channel_range.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Outlier Suppression+ centring (arXiv 2304.09145, §3.2): the midrange (max + min) / 2 of each channel, what its
/// activations are shifted by so that positive and negative reach are the same.
[[nodiscard]] inline Result<std::vector<float>> midrange(const ChannelRange& activations) {
  if (activations.rows() == 0) return Status(ErrorCode::invalid_argument, "midrange: no activations were observed");
  std::vector<float> centre(static_cast<std::size_t>(activations.channels()));
  for (index c = 0; c < activations.channels(); ++c) {
    const auto [low, high] = activations[c];
    centre[static_cast<std::size_t>(c)] = 0.5f * low + 0.5f * high;
  }
  return centre;
}

}  // namespace planish::inline PLANISH_ABI::calibration
