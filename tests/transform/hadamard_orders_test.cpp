// Which orders have Hadamard matrices, and plans of many primes.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/hadamard.hpp>
#include <planish/transform/hadamard_orders/constructions.hpp>

namespace hadamard_orders {
namespace {

namespace pl = planish;
using pl::index;

bool is_prime_power(index q) {
  for (index p = 2; p <= q; ++p) {
    if (q % p != 0) continue;  // the least divisor is prime
    while (q % p == 0) q /= p;
    return q == 1;
  }
  return false;
}

TEST_CASE("prime powers are told from other numbers, with their prime and degree") {
  index wrong = 0;
  for (index q = -3; q <= 5000; ++q) {
    const pl::detail::PrimePower found = pl::detail::prime_power(q);
    wrong += (found.prime != 0) != is_prime_power(q) ? 1 : 0;
    if (found.prime == 0) continue;
    index power = 1;
    for (int i = 0; i < found.degree; ++i) power *= found.prime;
    wrong += power != q || !is_prime_power(found.prime) || pl::detail::prime_power(found.prime).degree != 1 ? 1 : 0;
  }
  CHECK(wrong == 0);
  CHECK(pl::detail::prime_power(2).prime == 2);
  CHECK(pl::detail::prime_power(4096).degree == 12);
}

TEST_CASE("Paley makes the orders q + 1 and 2 (q + 1) of prime powers q, Williamson 52, 156 and 172") {
  index wrong = 0;
  for (index order = -8; order <= 5000; ++order) {
    const bool one = order % 4 == 0 && order > 0 && is_prime_power(order - 1);
    const bool two = order % 2 == 0 && order > 0 && (order / 2 - 1) % 4 == 1 && is_prime_power(order / 2 - 1);
    const bool three = order == 52 || order == 156 || order == 172;
    wrong += pl::has_paley_one(order) != one || pl::has_paley_two(order) != two || pl::has_williamson(order) != three;
    wrong += pl::has_hadamard_base(order) != (order <= 4096 && (one || two || three)) ? 1 : 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("base matrices reach to order 4096, and no larger one is made") {
  const auto largest = pl::hadamard_base(4096);
  REQUIRE(largest.has_value());
  CHECK(largest->order() == 4096);
  CHECK((*largest)(4095, 4095) == 1);  // twelve ones in common
  CHECK((*largest)(4095, 1) == -1);
  for (const index order : {4100, 4112, 8192}) {
    INFO("order ", order);
    CHECK(pl::hadamard_base(order).status().code() == pl::ErrorCode::unsupported);
  }
}

TEST_CASE("the quadratic character of a prime field is that of its squares") {
  for (const index q : {3, 5, 7, 11, 13, 19, 23, 29, 31, 43, 101}) {
    const pl::Array<int> character = pl::detail::quadratic_character(q);
    std::vector<int> expected(static_cast<std::size_t>(q), -1);
    expected[0] = 0;
    for (index a = 1; a < q; ++a) expected[static_cast<std::size_t>(a * a % q)] = 1;
    CHECK(std::vector<int>(character.begin(), character.end()) == expected);
  }
}

TEST_CASE("a size of many equal primes is planned without trying them in every order") {
  index n = 1;
  for (int primes = 1; primes <= 16 && n <= std::numeric_limits<index>::max() / 12; ++primes) {
    n *= 12;
    INFO("n ", n);
    const auto factors = pl::hadamard_factors(n);
    REQUIRE(factors.has_value());
    index product = index{1} << factors->doublings;
    for (const index base : factors->bases) product *= base;
    CHECK(product == n);
    for (std::size_t i = 1; i < factors->bases.size(); ++i) CHECK(factors->bases[i] <= factors->bases[i - 1]);
  }
}

TEST_CASE("a size that no matrix has is answered with its largest part that has one, if that is more than one") {
  const auto sentence = [](index n) { return std::string(pl::hadamard_factors(n).status().message()); };
  CHECK(sentence(7) ==
        "hadamard: no matrix of order 7 is known here; use Rotation::random(7, seed), a random orthogonal "
        "matrix");
  CHECK(sentence(6) ==
        "hadamard: no matrix of order 6 is known here; use Kronecker of Identity(3) and "
        "Hadamard::make(2), or Rotation::random(6, seed), a random orthogonal matrix");
  CHECK(sentence(92).find("Identity(23) and Hadamard::make(4)") != std::string::npos);
}

}  // namespace
}  // namespace hadamard_orders
