#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <planish/calibration/channel_range.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// SmoothQuant's closed form (arXiv 2211.10438, §4.1): difficulty moves from activations to weights.
struct SmoothQuant {
  float alpha = 0.5f;  ///< 0 leaves the activations alone, 1 evens them out completely

  /// Factor of each channel's activation, c_j = max|W_j|^(1−α) / max|X_j|^α (the paper divides by its reciprocal).
  /// `weight_magnitudes[j]` is the largest |W_ij| over all rows of all consumers of the site.
  [[nodiscard]] Result<std::vector<float>> scale(const ChannelRange& activations,
                                                 std::span<const float> weight_magnitudes) const {
    if (!(alpha >= 0.0f && alpha <= 1.0f))
      return Status(ErrorCode::invalid_argument, "SmoothQuant: alpha must lie in [0, 1]");
    if (static_cast<index>(weight_magnitudes.size()) != activations.channels())
      return Status(ErrorCode::shape_mismatch, "SmoothQuant: ", weight_magnitudes.size(), " weight columns for ",
                    activations.channels(), " channels");
    if (activations.rows() == 0)
      return Status(ErrorCode::invalid_argument, "SmoothQuant: no activations were observed");
    constexpr float floor = 1e-5f;  // of either magnitude and of the result, as published
    std::vector<float> factors(weight_magnitudes.size());
    for (std::size_t j = 0; j < factors.size(); ++j) {
      const float x = std::max(activations.magnitude(static_cast<index>(j)), floor);
      const float w = std::max(weight_magnitudes[j], floor);
      factors[j] = 1.0f / std::max(std::pow(x, alpha) / std::pow(w, 1.0f - alpha), floor);
    }
    return factors;
  }
};

/// Raises `magnitudes[j]` to max |W_ij| over the rows of one consumer.
inline void raise_to_column_magnitudes(MatrixView<const float> w, std::span<float> magnitudes) noexcept {
  for (index r = 0; r < w.rows(); ++r)
    for (index c = 0; c < w.columns(); ++c) {
      float& magnitude = magnitudes[static_cast<std::size_t>(c)];
      magnitude = std::max(magnitude, std::fabs(w(r, c)));
    }
}

}  // namespace planish::inline PLANISH_ABI::calibration
