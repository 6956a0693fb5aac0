#pragma once
#include <bit>
#include <cstdint>

namespace llama {

/// exp(x) for x <= 0, to about 1e-15 relative; below −700 as at −700, which is as good as zero. Without branches and
/// table, so that compilers turn a loop over it into SIMD, which they cannot do with std::exp. NaN stays NaN.
[[nodiscard]] inline double exponential(double x) noexcept {
  constexpr double log2_e = 1.4426950408889634;
  constexpr double ln2_high = 0x1.62e42fefa0000p-1, ln2_low = 0x1.cf79abc9e3b3ap-40;  // ln 2 in two parts
  constexpr double rounder = 0x1.8p52;  // adding it leaves a whole number in the low bits of the sum
  x = x < -700.0 ? -700.0 : x;

  // x = n ln 2 + r with |r| <= ln 2 / 2, and exp(x) = 2^n exp(r).
  const double shifted = x * log2_e + rounder;
  const double n = shifted - rounder;
  const double r = (x - n * ln2_high) - n * ln2_low;

  double sum = 1.0 / 479001600.0;  // Taylor series up to r^12 / 12!; what it leaves out is below 2e-16
  for (const double coefficient : {1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0,
                                   1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0})
    sum = sum * r + coefficient;

  const auto exponent = std::bit_cast<std::uint64_t>(shifted) << 52;  // n in the place of a double's exponent
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(sum) + exponent);
}

}  // namespace llama
