#pragma once
// The values of a row, a register at a time, and the range that they span.
#include <array>
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/scheme.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Calls `body(vector)` on the values of a row, in order; the last vector is filled up with zeros.
template <class Body>
PLANISH_ALWAYS_INLINE void for_each_vector(const float* row, index step, index columns, Body&& body) noexcept {
  index c = 0;
  if (step == 1)
    for (; c + float_lanes <= columns; c += float_lanes) body(FloatBatch::load_unaligned(row + c));
  while (c < columns) {
    alignas(64) float some[FloatBatch::size] = {};
    for (index i = 0; i < float_lanes && c < columns; ++i, ++c) some[i] = row[c * step];
    body(FloatBatch::load_aligned(some));
  }
}

/// Least and greatest value of a row with 0 counted in; `finite` tells whether every value is, by its exponent bits.
/// Floats of one sign are ordered as their bits are: as signed integers the greatest is the greatest, as unsigned ones
/// it is the least, and NaN lies beyond infinity.
struct RowRange {
  ValueRange values;
  bool finite;

  PLANISH_LAZY static RowRange of(const float* row, index step, index columns) noexcept {
    BitsBatch lowest(negative), other_lowest(negative);
    IntBatch highest(0), other_highest(0);
    const auto see = [](FloatBatch x, BitsBatch & low, IntBatch & high) __attribute__((always_inline)) {
      low = xsimd::max(low, bits_as<BitsBatch>(x));
      high = xsimd::max(high, bits_as<IntBatch>(x));
    };
    for_each_pair(
        row, step, columns, [&](FloatBatch x, FloatBatch y) __attribute__((always_inline)) {
          see(x, lowest, highest);
          see(y, other_lowest, other_highest);
        });
    const std::uint32_t low = fold_register(xsimd::max(lowest, other_lowest), greatest);
    const std::int32_t high = fold_register(xsimd::max(highest, other_highest), greatest);
    return of_bits(low, high);
  }

  /// Those of two rows that lie element beside element, `count` values together, whole pairs of vectors.
  PLANISH_LAZY static std::array<RowRange, 2> of_two(const float* both, index count) noexcept {
    BitsBatch lowest(negative), other_lowest(negative);
    IntBatch highest(0), other_highest(0);
    for (index c = 0; c < count; c += 2 * float_lanes) {
      const auto x = FloatBatch::load_unaligned(both + c), y = FloatBatch::load_unaligned(both + c + float_lanes);
      lowest = xsimd::max(lowest, bits_as<BitsBatch>(x));
      highest = xsimd::max(highest, bits_as<IntBatch>(x));
      other_lowest = xsimd::max(other_lowest, bits_as<BitsBatch>(y));
      other_highest = xsimd::max(other_highest, bits_as<IntBatch>(y));
    }
    std::array<RowRange, 2> ranges;
    const auto low = fold_to_pair(xsimd::max(lowest, other_lowest), greatest);
    const auto high = fold_to_pair(xsimd::max(highest, other_highest), greatest);
    for (std::size_t t = 0; t < 2; ++t) ranges[t] = of_bits(low[t], high[t]);
    return ranges;
  }

  /// The same range widened so that it is its own mirror image: all that a symmetric scale asks for, at half the work.
  PLANISH_LAZY static RowRange of_magnitudes(const float* row, index step, index columns) noexcept {
    const BitsBatch magnitude(~negative);
    BitsBatch most(0u), other_most(0u);
    for_each_pair(
        row, step, columns, [&](FloatBatch x, FloatBatch y) __attribute__((always_inline)) {
          most = xsimd::max(most, bits_as<BitsBatch>(x) & magnitude);
          other_most = xsimd::max(other_most, bits_as<BitsBatch>(y) & magnitude);
        });
    const std::uint32_t bits = fold_register(xsimd::max(most, other_most), greatest);
    const float value = std::bit_cast<float>(bits);
    return {{-value, value}, bits < infinite};
  }

 private:
  using BitsBatch = xsimd::batch<std::uint32_t>;
  static constexpr std::uint32_t negative = 0x80000000u, infinite = 0x7f800000u;
  static constexpr auto greatest = [](auto a, auto b) { return xsimd::max(a, b); };

  [[nodiscard]] static RowRange of_bits(std::uint32_t low, std::int32_t high) noexcept {
    return {{low == negative ? 0.0f : std::bit_cast<float>(low), std::bit_cast<float>(high)},
            low < (negative | infinite) && high < static_cast<std::int32_t>(infinite)};
  }

  /// Two vectors at a time, to have independent maxima; zeros fill up the last ones.
  template <class Body>
  PLANISH_ALWAYS_INLINE static void for_each_pair(const float* row, index step, index columns,
                                                  const Body& body) noexcept {
    index c = 0;
    if (step == 1)
      for (; c + 2 * float_lanes <= columns; c += 2 * float_lanes)
        body(FloatBatch::load_unaligned(row + c), FloatBatch::load_unaligned(row + c + float_lanes));
    for_each_vector(
        row + c * step, step,
        columns - c, [&](FloatBatch x) __attribute__((always_inline)) { body(x, FloatBatch(0.0f)); });
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
