#pragma once
// The ends of a row, and where they lie.
#include <algorithm>
#include <limits>

#include <planish/calibration/tape/lanes.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Least and greatest element of a run of elements, 0 counted in; `finite` tells whether all are.
template <class T>
struct RowRange {
  T lowest, highest;
  bool finite;

  [[nodiscard]] static RowRange of(const T* row, index count) noexcept {
    Lanes<T> lowest(T{0}), highest(T{0}), wrong(T{0});
    const Lanes<T> zero(T{0});
    for_lanes<T>(count, [&](auto at) {
      const Lanes<T> x = load(row, at);
      lowest = xsimd::min(x, lowest);
      highest = xsimd::max(x, highest);
      wrong = multiply_add<T>(x, zero, wrong);  // stays 0 as long as x is finite
    });
    return {fold<T>(lowest, [](T a, T b) { return std::min(a, b); }),
            fold<T>(highest, [](T a, T b) { return std::max(a, b); }), sum_of<T>(wrong) == T{0}};
  }
};

/// The first element x for which is(x, value) holds; `count` if there is none.
template <class T, class Is>
[[nodiscard]] inline index first_that(const T* row, index count, T value, Is is) noexcept {
  const Lanes<T> wanted(value);
  index c = 0;
  while (c + lane_count<T> <= count && !xsimd::any(is(load(row, WholeLanes{c}), wanted))) c += lane_count<T>;
  while (c < count && !is(row[c], value)) ++c;
  return c;
}

/// The first element that equals `value`; `count` if none does.
template <class T>
[[nodiscard]] inline index first_equal(const T* row, index count, T value) noexcept {
  return first_that(row, count, value, [](auto x, auto wanted) { return x == wanted; });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
