#pragma once

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// q = prime^degree, or {0, 0} if q is no prime power.
struct PrimePower {
  index prime = 0;
  int degree = 0;
};

[[nodiscard]] constexpr PrimePower prime_power(index q) noexcept {
  if (q < 2) return {};
  index prime = 2;
  while (prime * prime <= q && q % prime != 0) ++prime;
  if (q % prime != 0) prime = q;
  int degree = 0;
  for (; q % prime == 0; q /= prime) ++degree;
  return q == 1 ? PrimePower{prime, degree} : PrimePower{};
}

/// Element times x, modulo the monic polynomial x^degree − (feedback digits), in base-prime digits.
[[nodiscard]] constexpr index times_x(index element, index feedback, PrimePower field, index top_unit) noexcept {
  const index carry = element / top_unit;
  index shifted = (element % top_unit) * field.prime, result = 0, unit = 1;
  for (int digit = 0; digit < field.degree; ++digit) {
    const index sum = shifted % field.prime + carry * (feedback % field.prime);
    result += sum % field.prime * unit;
    shifted /= field.prime;
    feedback /= field.prime;
    unit *= field.prime;
  }
  return result;
}

/// Quadratic character χ of GF(q), q an odd prime power: +1 for squares, −1 for the others, 0 for 0. Elements are
/// numbered by their base-p digits. A polynomial for which x runs through all q − 1 nonzero elements makes the quotient
/// a field with x as generator; the squares are then the even powers of x.
PLANISH_LAZY [[nodiscard]] Array<int> quadratic_character(index q) {
  const PrimePower field = prime_power(q);
  const index top_unit = q / field.prime;
  Array<int> character(static_cast<std::size_t>(q), 0);
  for (index feedback = 1; feedback < q; ++feedback) {
    index element = 1, power = 0;
    for (auto& value : character) value = 0;
    do {
      character[static_cast<std::size_t>(element)] = power % 2 == 0 ? 1 : -1;
      element = times_x(element, feedback, field, top_unit);
      ++power;
    } while (element != 0 && character[static_cast<std::size_t>(element)] == 0);
    if (element == 1 && power == q - 1) break;
  }
  return character;
}

/// a − b in GF(q), digit by digit.
[[nodiscard]] constexpr index field_difference(index a, index b, PrimePower field) noexcept {
  index result = 0, unit = 1;
  for (int digit = 0; digit < field.degree; ++digit) {
    result += (a % field.prime - b % field.prime + field.prime) % field.prime * unit;
    a /= field.prime;
    b /= field.prime;
    unit *= field.prime;
  }
  return result;
}

}  // namespace planish::inline PLANISH_ABI::detail
