#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/hadamard.hpp>
#include <planish/transform/hadamard_orders/constructions.hpp>

#include "laws/transform_laws.hpp"

namespace {

namespace pl = planish;

/// H Hᵀ = n I in whole numbers.
bool is_hadamard(const pl::SignMatrix& h) {
  for (pl::index i = 0; i < h.order(); ++i)
    for (pl::index j = 0; j <= i; ++j) {
      int dot = 0;
      for (pl::index k = 0; k < h.order(); ++k) {
        if (h(i, k) != 1 && h(i, k) != -1) return false;
        dot += h(i, k) * h(j, k);
      }
      if (dot != (i == j ? static_cast<int>(h.order()) : 0)) return false;
    }
  return true;
}

std::vector<pl::index> bases(pl::index n) {
  const auto factors = pl::hadamard_factors(n);
  REQUIRE(factors);
  pl::index product = pl::index{1} << factors->doublings;
  for (const pl::index base : factors->bases) product *= base;
  CHECK(product == n);
  return {factors->bases.begin(), factors->bases.end()};
}

}  // namespace

TEST_CASE("every construction makes Hadamard matrices") {
  for (pl::index order = 4; order <= 220; order += 4) {
    INFO("order ", order);
    if (pl::has_paley_one(order)) CHECK(is_hadamard(pl::paley_one(order)));
    if (pl::has_paley_two(order)) CHECK(is_hadamard(pl::paley_two(order)));
    if (pl::has_williamson(order)) CHECK(is_hadamard(pl::williamson(order)));
  }
  for (int doublings = 0; doublings <= 6; ++doublings) CHECK(is_hadamard(pl::sylvester(doublings)));
  CHECK(is_hadamard(pl::kronecker_product(pl::paley_one(12), pl::paley_two(28))));
}

TEST_CASE("the prime powers are reached: GF(9), GF(25), GF(27), GF(49)") {
  for (const pl::index order : {20, 28, 52, 100}) CHECK(pl::has_hadamard_base(order));
  CHECK(pl::has_paley_two(20));   // 9
  CHECK(pl::has_paley_one(28));   // 27
  CHECK(pl::has_paley_two(52));   // 25
  CHECK(pl::has_paley_two(100));  // 49
  for (const pl::index order : {12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 100, 108, 140, 148, 156, 172})
    CHECK(pl::has_hadamard_base(order));
  CHECK(!pl::has_hadamard_base(92));
}

TEST_CASE("sizes of published models have the plans of least cost") {
  using List = std::vector<pl::index>;
  CHECK(bases(576) == List{12, 12});
  CHECK(bases(1536) == List{12});
  CHECK(bases(64) == List{});
  CHECK(bases(24) == List{12});
  CHECK(bases(4864) == List{76});
  CHECK(bases(8960) == List{28, 20});
  CHECK(bases(11008) == List{172});
  CHECK(bases(13824) == List{12, 12, 12});
  CHECK(bases(14336) == List{28});
  CHECK(bases(18944) == List{148});
  CHECK(bases(29568) == List{44, 28, 12});
  CHECK(bases(36) == List{36});  // two twos only: one group
  CHECK(bases(144) == List{12, 12});
}

TEST_CASE(
    "every plan costs what the cheapest product of known orders and twos costs, and is found where there is one") {
  // cheapest[n]: an order costs as many operations per element, a doubling one.
  constexpr pl::index most = 16384, none = most;
  std::vector<pl::index> orders, cheapest(most + 1, none);
  for (pl::index order = 4; order <= pl::most_hadamard_base; order += 4)
    if (pl::has_hadamard_base(order)) orders.push_back(order);
  cheapest[1] = 0;
  for (std::size_t n = 2; n <= most; ++n) {
    if (n % 2 == 0) cheapest[n] = cheapest[n / 2] + 1;
    for (const pl::index order : orders)
      if (const auto o = static_cast<std::size_t>(order); n % o == 0)
        cheapest[n] = std::min(cheapest[n], cheapest[n / o] + order);
  }
  int wrong = 0;
  for (pl::index n = 1; n <= most; ++n) {
    const auto factors = pl::hadamard_factors(n);
    pl::index cost = none;
    if (factors) {
      cost = factors->doublings;
      for (const pl::index base : factors->bases) cost += base;
    }
    if (cost != std::min(cheapest[static_cast<std::size_t>(n)], none)) {
      ++wrong;
      CHECK_MESSAGE(false,
                    "size " << n << ": " << cost << " operations, not " << cheapest[static_cast<std::size_t>(n)]);
    }
    if (wrong > 5) break;
  }
  CHECK(wrong == 0);
}

TEST_CASE("an order without a construction is refused, and the alternatives are named") {
  for (const pl::index n : {6, 7, 9, 27, 63, 65, 92, 13696}) {
    INFO("n ", n);
    const auto stage = pl::Hadamard::make(n);
    REQUIRE(!stage);
    CHECK(stage.status().code() == pl::ErrorCode::unsupported);
    CHECK(std::string(stage.status().message()).find("Rotation::random") != std::string::npos);
  }
  const auto stage = pl::Hadamard::make(13696);
  CHECK(std::string(stage.status().message()).find("Identity(107) and Hadamard::make(128)") != std::string::npos);
  CHECK(pl::Hadamard::make(0).status().code() == pl::ErrorCode::invalid_argument);
}

TEST_CASE("the fast transform is x (H_1 ⊗ H_2 ⊗ H_{2^a}) / √n") {
  const pl::SignMatrix h =
      pl::kronecker_product(pl::kronecker_product(*pl::hadamard_base(20), *pl::hadamard_base(12)), pl::sylvester(2));
  const auto x = laws::Matrix<double>::random(2, 960, 1);
  const auto y = laws::apply(*pl::Hadamard::make(960), x);
  double worst = 0.0;
  for (pl::index r = 0; r < 2; ++r)
    for (pl::index j = 0; j < 960; ++j) {
      double sum = 0.0;
      for (pl::index k = 0; k < 960; ++k) sum += x(r, k) * h(k, j);
      worst = std::fmax(worst, std::fabs(sum / std::sqrt(960.0) - y(r, j)));
    }
  CHECK(worst < 1e-12);
}

TEST_CASE("signs come first and a seed gives the same ones everywhere") {
  const auto stage = pl::Hadamard::make(12, 42);
  REQUIRE(stage);
  const auto x = laws::Matrix<double>::random(1, 12, 3);
  laws::Matrix<double> signed_x = x;
  for (pl::index c = 0; c < 12; ++c) signed_x(0, c) *= static_cast<double>(stage->signs()[c]);
  CHECK(laws::difference(laws::apply(*pl::Hadamard::make(12), signed_x), laws::apply(*stage, x)) < 1e-15);
}

TEST_CASE("a copy of a plan owns its matrices") {
  auto first = pl::Hadamard::make(12);
  const pl::Hadamard copy = *first;
  first = pl::Hadamard::make(64);
  laws::check(copy, 1);
}
