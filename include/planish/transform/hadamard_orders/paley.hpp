#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/transform/hadamard_orders/galois_field.hpp>
#include <planish/transform/hadamard_orders/sign_matrix.hpp>

namespace planish::inline PLANISH_ABI {

/// Paley's first construction (1933) makes order q + 1 from a prime power q ≡ 3 (mod 4).
[[nodiscard]] constexpr bool has_paley_one(index order) noexcept {
  return order >= 4 && order % 4 == 0 && detail::prime_power(order - 1).prime != 0;
}

/// Paley's second construction makes order 2 (q + 1) from a prime power q ≡ 1 (mod 4).
[[nodiscard]] constexpr bool has_paley_two(index order) noexcept {
  return order >= 12 && order % 8 == 4 && detail::prime_power(order / 2 - 1).prime != 0;
}

namespace detail {

/// [[0, 1ᵀ], [corner · 1, Q]] with the Jacobsthal matrix Q(i, j) = χ(a_i − a_j), order q + 1.
PLANISH_LAZY [[nodiscard]] SignMatrix conference_matrix(index q, std::int8_t corner) {
  const PrimePower field = prime_power(q);
  const Array<int> character = quadratic_character(q);
  SignMatrix c(q + 1);
  c(0, 0) = 0;
  for (index i = 0; i < q; ++i) {
    c(i + 1, 0) = corner;
    for (index j = 0; j < q; ++j)
      c(i + 1, j + 1) = static_cast<std::int8_t>(character[static_cast<std::size_t>(field_difference(i, j, field))]);
  }
  return c;
}

}  // namespace detail

/// H = I + [[0, 1ᵀ], [−1, Q]], not symmetric.
PLANISH_LAZY [[nodiscard]] SignMatrix paley_one(index order) {
  SignMatrix h = detail::conference_matrix(order - 1, -1);
  for (index i = 0; i < order; ++i) h(i, i) = static_cast<std::int8_t>(h(i, i) + 1);
  return h;
}

/// C = [[0, 1ᵀ], [1, Q]] with ±1 replaced by ±[[1, 1], [1, −1]] and 0 by [[1, −1], [−1, −1]]: symmetric.
PLANISH_LAZY [[nodiscard]] SignMatrix paley_two(index order) {
  const SignMatrix c = detail::conference_matrix(order / 2 - 1, 1);
  SignMatrix h(order);
  for (index i = 0; i < c.order(); ++i)
    for (index j = 0; j < c.order(); ++j) {
      const std::int8_t value = c(i, j);
      const auto minus = static_cast<std::int8_t>(-value);
      h(2 * i, 2 * j) = value == 0 ? std::int8_t{1} : value;
      h(2 * i, 2 * j + 1) = h(2 * i + 1, 2 * j) = value == 0 ? std::int8_t{-1} : value;
      h(2 * i + 1, 2 * j + 1) = value == 0 ? std::int8_t{-1} : minus;
    }
  return h;
}

}  // namespace planish::inline PLANISH_ABI
