#pragma once
#include <planish/quantizer/min_max.hpp>

namespace planish::inline PLANISH_ABI {

/// A fixed part of what the tile holds, both ends alike: DuQuant takes 0.9 of activations and 0.8 of weights.
struct FixedRatio {
  float ratio = 0.9f;

  [[nodiscard]] ValueRange operator()(MatrixView<const float> tile) const noexcept {
    const ValueRange full = MinMax{}(tile);
    return {full.lowest * ratio, full.highest * ratio};
  }
};

static_assert(RangeRule<FixedRatio>);

}  // namespace planish::inline PLANISH_ABI
