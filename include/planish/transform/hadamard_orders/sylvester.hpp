#pragma once
#include <bit>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/transform/hadamard_orders/sign_matrix.hpp>

namespace planish::inline PLANISH_ABI {

/// H_2n = [[H_n, H_n], [H_n, −H_n]]: order 2^doublings, natural order; entry (i, j) is −1 where i & j has odd parity.
PLANISH_LAZY [[nodiscard]] SignMatrix sylvester(int doublings) {
  SignMatrix h(index{1} << doublings);
  for (index i = 0; i < h.order(); ++i)
    for (index j = 0; j < h.order(); ++j)
      if (std::popcount(static_cast<std::size_t>(i & j)) % 2 == 1) h(i, j) = -1;
  return h;
}

/// Kronecker product of two Hadamard matrices: again one.
PLANISH_LAZY [[nodiscard]] SignMatrix kronecker_product(const SignMatrix& left, const SignMatrix& right) {
  const index n = right.order();
  SignMatrix h(left.order() * n);
  for (index i = 0; i < h.order(); ++i)
    for (index j = 0; j < h.order(); ++j) h(i, j) = static_cast<std::int8_t>(left(i / n, j / n) * right(i % n, j % n));
  return h;
}

}  // namespace planish::inline PLANISH_ABI
