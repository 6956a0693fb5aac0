#pragma once
// From a tape to the plain values that files hold.
#include <optional>
#include <vector>

#include <planish/calibration/methods/flatquant/learned_clip.hpp>
#include <planish/calibration/methods/flatquant/learned_factor.hpp>
#include <planish/calibration/methods/flatquant_parameters.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// All elements, row by row.
[[nodiscard]] inline std::vector<float> values_of(tape::Variable<float> x) {
  const auto v = x.value();
  return {v.data(), v.data() + v.size()};
}

/// The identity where nothing was learned.
[[nodiscard]] inline MatrixPair pair_of(const std::optional<FactorVariables<float>>& factor) {
  return factor ? MatrixPair{values_of(factor->matrix), values_of(factor->inverse_transpose)} : MatrixPair{};
}

/// One pair per row.
[[nodiscard]] inline std::vector<ClipPair> clips_of(const ClipVariables<float>& clip) {
  const std::vector<float> up = values_of(clip.positive), down = values_of(clip.negative);
  std::vector<ClipPair> pairs;
  for (std::size_t i = 0; i < up.size(); ++i) pairs.push_back({up[i], down[i]});
  return pairs;
}

}  // namespace planish::inline PLANISH_ABI::calibration
