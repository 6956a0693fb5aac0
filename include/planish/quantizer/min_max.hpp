#pragma once
#include <planish/quantizer/range_rule.hpp>

namespace planish::inline PLANISH_ABI {

/// The range is what the tile holds.
struct MinMax {
  [[nodiscard]] ValueRange operator()(MatrixView<const float> tile) const noexcept {
    if (tile.empty()) return {};
    ValueRange range{tile(0, 0), tile(0, 0)};
    for (index r = 0; r < tile.rows(); ++r)
      for (index c = 0; c < tile.columns(); ++c) {
        const float value = tile(r, c);
        range.lowest = value < range.lowest ? value : range.lowest;
        range.highest = value > range.highest ? value : range.highest;
      }
    return range;
  }
};

static_assert(RangeRule<MinMax>);

}  // namespace planish::inline PLANISH_ABI
