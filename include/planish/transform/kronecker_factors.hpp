#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI {

/// Sizes of the two factors of a Kronecker stage, n = left · right.
struct KroneckerFactors {
  index left;
  index right;
};

/// The factor pair of n with the least sum, left ≤ right: 2 n (left + right) operations per row are as few as can be.
/// Ends for every n ≥ 1; a prime gives {1, n}. Where both factors have equal parity it is the published choice.
[[nodiscard]] constexpr KroneckerFactors kronecker_factors(index n) noexcept {
  index left = 1;
  for (index candidate = 1; candidate <= n / candidate; ++candidate)
    if (n % candidate == 0) left = candidate;
  return {left, n / left};
}

}  // namespace planish::inline PLANISH_ABI
