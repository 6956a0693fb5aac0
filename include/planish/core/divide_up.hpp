#pragma once
#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI {

/// How many parts of `part` hold `whole`: the quotient rounded up, for whole ≥ 0 and part > 0.
template <class Whole, class Part>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr auto divide_up(Whole whole, Part part) noexcept {
  return (whole + part - 1) / part;
}

/// The least multiple of `part` that is not below `whole`.
template <class Whole, class Part>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr auto round_up(Whole whole, Part part) noexcept {
  return divide_up(whole, part) * part;
}

}  // namespace planish::inline PLANISH_ABI
