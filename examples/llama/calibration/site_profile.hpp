#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "../flatquant_build.hpp"
#include "../layer_weights.hpp"
#include "../recipe.hpp"
#include "../rows.hpp"

namespace llama {

/// Relative errors ||y_q - y|| / ||y|| of what reads a site, over all tokens and outputs, at the same bits.
struct SiteErrors {
  double plain = 0.0;                   ///< no transform, no clip
  std::optional<double> hadamard = {};  ///< Hadamard transform; none where no matrix of the order is known
  double learned = 0.0;                 ///< the learned transform and clips, as they run

  friend bool operator==(const SiteErrors&, const SiteErrors&) = default;
};

/// Magnitudes of the channels of a tensor before and after the learned transform.
struct Flattening {
  std::vector<float> before, after;  ///< max |x_j| of each channel

  friend bool operator==(const Flattening&, const Flattening&) = default;
};

/// What flattening did to the input of a site, or to keys.
struct SiteProfile {
  Flattening activations = {};                       ///< over tokens; of keys over tokens and heads
  Flattening weights = {};                           ///< over the rows of all matrices that read the site; none of keys
  double kurtosis_before = 0.0, kurtosis_after = 0;  ///< mean over tokens of the kurtosis over channels; normal: 3
  std::optional<SiteErrors> errors = {};             ///< where something is quantized

  friend bool operator==(const SiteProfile&, const SiteProfile&) = default;
};

/// The clips of one matrix.
struct MatrixClips {
  index rows = 0;
  double weight_mean = 1.0, weight_least = 1.0;  ///< over rows: what is left of max |w| behind the clip
  planish::ClipPair activation;                  ///< of its input

  friend bool operator==(const MatrixClips&, const MatrixClips&) = default;
};

/// What a block looks like once it is learned, measured on a little of the calibration text.
struct BlockProfile {
  index tokens = 0;                                   ///< it was measured on
  std::array<SiteProfile, site_kinds.size()> sites;   ///< by SiteKind
  std::optional<SiteProfile> keys;                    ///< head by head after RoPE, where they are quantized
  std::array<MatrixClips, projections.size()> clips;  ///< by Projection
  planish::ClipPair key_clip, value_clip;             ///< of the cache

  friend bool operator==(const BlockProfile&, const BlockProfile&) = default;
};

/// Runs the float block once over its inputs (windows of `window` tokens, one after the other; the first 2048 tokens
/// are taken) and measures what `parameters` (in rotate_half order) do to its sites. Weights are rounded to nearest in
/// all three ways. The result has the same bits on any number of threads. Throws Error; `where` names the layer.
[[nodiscard]] BlockProfile profile_block(const Config& config, const LayerWeights& weights, const Recipe& recipe,
                                         const FlatQuantParameters& parameters, MatrixView<const float> inputs,
                                         index window, const std::string& where, ExecutorReference executor);

}  // namespace llama
