#pragma once
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define PLANISH_CLANG_SANITIZES_
#endif
#endif

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows of a register tile. Sanitizers instrument every register of a tile as if it were memory: there, two rows say as
/// much about the code as twelve, and compile in seconds instead of minutes.
[[nodiscard]] constexpr int tile_rows(int rows) noexcept {
#if defined(__SANITIZE_ADDRESS__) || defined(PLANISH_CLANG_SANITIZES_)
  return rows < 2 ? rows : 2;
#else
  return rows;
#endif
}

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
