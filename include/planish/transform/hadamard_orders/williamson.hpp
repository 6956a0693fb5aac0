#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/transform/hadamard_orders/sign_matrix.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// Four symmetric ±1 sequences of odd length m with A² + B² + C² + D² = 4 m I as circulants. a_0 = +1, a_{m−i} = a_i;
/// bit i − 1 is set where a_i = −1, i = 1 .. (m − 1) / 2.
struct WilliamsonSeed {
  index length;
  std::uint32_t minus[4];
};

/// Found by search among sequences invariant under a multiplier: i → 16 i for 39 (C, D are B under i → 16 i, 16² i),
/// i → 6 i for 43.
inline constexpr WilliamsonSeed williamson_seeds[] = {
    {13, {0x2e, 0x2e, 0x17, 0x28}},
    {39, {0x3c977, 0x159f9, 0x2bc37, 0x7d346}},
    {43, {0x99790, 0x1e559c, 0xc6d0a, 0x450f9}},
};

[[nodiscard]] constexpr const WilliamsonSeed* williamson_seed(index order) noexcept {
  for (const WilliamsonSeed& seed : williamson_seeds)
    if (4 * seed.length == order) return &seed;
  return nullptr;
}

}  // namespace detail

[[nodiscard]] constexpr bool has_williamson(index order) noexcept { return detail::williamson_seed(order) != nullptr; }

/// Williamson's array (1944), order 4 m: [[A, B, C, D], [−B, A, −D, C], [−C, D, A, −B], [−D, −C, B, A]].
PLANISH_LAZY [[nodiscard]] SignMatrix williamson(index order) {
  constexpr int block[4][4] = {{0, 1, 2, 3}, {1, 0, 3, 2}, {2, 3, 0, 1}, {3, 2, 1, 0}};
  constexpr int sign[4][4] = {{1, 1, 1, 1}, {-1, 1, -1, 1}, {-1, 1, 1, -1}, {-1, -1, 1, 1}};
  const detail::WilliamsonSeed& seed = *detail::williamson_seed(order);
  const index m = seed.length;
  SignMatrix h(order);
  for (index i = 0; i < order; ++i)
    for (index j = 0; j < order; ++j) {
      index distance = (j % m - i % m + m) % m;
      if (distance > m / 2) distance = m - distance;
      const std::uint32_t minus = seed.minus[block[i / m][j / m]];
      const int value = distance > 0 && ((minus >> (distance - 1)) & 1u) != 0 ? -1 : 1;
      h(i, j) = static_cast<std::int8_t>(value * sign[i / m][j / m]);
    }
  return h;
}

}  // namespace planish::inline PLANISH_ABI
