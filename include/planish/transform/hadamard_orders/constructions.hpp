#pragma once
#include <bit>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/transform/hadamard_orders/paley.hpp>
#include <planish/transform/hadamard_orders/sign_matrix.hpp>
#include <planish/transform/hadamard_orders/sylvester.hpp>
#include <planish/transform/hadamard_orders/williamson.hpp>

namespace planish::inline PLANISH_ABI {

/// Largest order that is generated as one matrix; larger sizes are products.
inline constexpr index most_hadamard_base = 4096;

/// True if a construction makes this order directly, without a product of smaller ones.
[[nodiscard]] constexpr bool has_hadamard_base(index order) noexcept {
  return order <= most_hadamard_base && (has_paley_one(order) || has_paley_two(order) || has_williamson(order));
}

/// The base matrix of one order: Paley I, else Paley II, else Williamson; powers of two by Sylvester.
PLANISH_LAZY [[nodiscard]] Result<SignMatrix> hadamard_base(index order) {
  if (order >= 1 && order <= most_hadamard_base && std::has_single_bit(static_cast<std::size_t>(order)))
    return sylvester(std::countr_zero(static_cast<std::size_t>(order)));
  if (order <= most_hadamard_base && has_paley_one(order)) return paley_one(order);
  if (order <= most_hadamard_base && has_paley_two(order)) return paley_two(order);
  if (has_williamson(order)) return williamson(order);
  return Status(ErrorCode::unsupported, "hadamard: no construction here makes a base matrix of order ", order);
}

}  // namespace planish::inline PLANISH_ABI
