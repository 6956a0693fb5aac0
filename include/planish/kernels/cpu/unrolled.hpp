#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

#include <planish/core/abi.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// body(0), body(1), … body(Count − 1) with constants as arguments: arrays indexed by them live in registers at any
/// optimisation level.
template <int Count, class Body>
PLANISH_ALWAYS_INLINE void unrolled(const Body& body) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) { (body(std::integral_constant<int, I>{}), ...); }
  (std::make_integer_sequence<int, Count>{});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
