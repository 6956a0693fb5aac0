#pragma once
#include <bit>
#include <cstdint>
#include <limits>

#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// Position of the first row with NaN or infinity, or −1. Rows are dense.
[[nodiscard]] inline index first_bad_row(MatrixView<const float> x) noexcept {
  constexpr index lanes = 16;
  constexpr std::uint32_t exponent = 0x7f800000u;
  for (index r = 0; r < x.rows(); ++r) {
    const float* row = x.row(r);
    std::uint32_t bad[lanes] = {};
    index c = 0;
    for (; c + lanes <= x.columns(); c += lanes)
      for (index lane = 0; lane < lanes; ++lane)
        bad[lane] |= (std::bit_cast<std::uint32_t>(row[c + lane]) & exponent) == exponent ? 1u : 0u;
    std::uint32_t any = 0;
    for (std::uint32_t lane : bad) any |= lane;
    for (; c < x.columns(); ++c) any |= is_finite(row[c]) ? 0u : 1u;
    if (any != 0) return r;
  }
  return -1;
}

/// Makes every row that holds NaN or infinity all NaN.
inline void fill_bad_rows(MatrixView<float> x) noexcept {
  for (index r = 0; r < x.rows(); ++r)
    if (first_bad_row(x.middle_rows(r, 1)) == 0)
      for (index c = 0; c < x.columns(); ++c) x(r, c) = std::numeric_limits<float>::quiet_NaN();
}

}  // namespace planish::inline PLANISH_ABI::detail
