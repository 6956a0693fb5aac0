#pragma once
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Calls `body` with the constants 0 to Count − 1. Register tiles are indexed only by such constants, so that they stay
/// in registers at every optimisation level that inlines.
template <int Count, class Body>
PLANISH_ALWAYS_INLINE void unroll(Body&& body) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, Count>{});
}

/// Calls `body` with the constant that equals `value`, which lies in 1 to Most.
template <int Most, class Body>
PLANISH_ALWAYS_INLINE void with_constant(int value, Body&& body) noexcept {
  if constexpr (Most > 1) {
    if (value < Most) return with_constant<Most - 1>(value, body);
  }
  body(std::integral_constant<int, Most>{});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
