#pragma once
#include <algorithm>
#include <cmath>

#include <planish/core/aligned_buffer.hpp>
#include <planish/quantizer/min_max.hpp>

namespace planish::inline PLANISH_ABI {

/// The tile without its most extreme values: from the (1 − fraction) to the fraction quantile, each the outer of the
/// two neighbouring values where the rank is not whole. Copies the tile; where memory for that is missing, nothing is
/// cut.
struct Percentile {
  double fraction = 0.999;

  PLANISH_LAZY [[nodiscard]] ValueRange operator()(MatrixView<const float> tile) const noexcept {
    struct Value {  // a type of this namespace, so that the selection below is not shared between instruction sets
      float value;
      bool operator<(Value other) const noexcept { return value < other.value; }
    };
    const index count = tile.size();
    auto sorted = AlignedBuffer<Value>::make(count);
    if (count == 0 || !sorted) return MinMax{}(tile);
    for (index r = 0; r < tile.rows(); ++r)
      for (index c = 0; c < tile.columns(); ++c) (*sorted)[r * tile.columns() + c] = {tile(r, c)};
    const double last = static_cast<double>(count - 1);
    const double part = std::min(std::max(0.5, fraction), 1.0);  // not a number: 0.5
    const auto low = static_cast<index>(std::floor((1.0 - part) * last));
    const index high = static_cast<index>(std::ceil(part * last));
    Value* const begin = sorted->data();
    Value* const end = begin + count;
    std::nth_element(begin, begin + low, end);
    const float lowest = begin[low].value;
    std::nth_element(begin, begin + high, end);
    return {lowest, begin[high].value};
  }
};

static_assert(RangeRule<Percentile>);

}  // namespace planish::inline PLANISH_ABI
