#include <cmath>
#include <cstdint>
#include <initializer_list>

#include <doctest/doctest.h>

#include <planish/core/bfloat16_term.hpp>
#include <planish/core/random.hpp>

namespace pl = planish;

namespace {

TEST_CASE("random bits are those of SplitMix64") {
  pl::Random random(1234567);
  for (const std::uint64_t expected :
       {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u})
    CHECK(random.bits() == expected);
}

TEST_CASE("signs, numbers below a bound and uniform numbers are made of the same bits") {
  pl::Random bits(3), signs(3), below(3), uniform(3);
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t drawn = bits.bits();
    wrong += signs.sign() != (drawn >= std::uint64_t{1} << 63 ? -1.0f : 1.0f);
    wrong += below.below(97) != drawn - drawn / 97 * 97;
    const double value = uniform.uniform();
    wrong += !(value >= 0.0 && value < 1.0) || value != std::ldexp(static_cast<double>(drawn >> 11), -53);
  }
  CHECK(wrong == 0);
}

TEST_CASE("normal numbers are Box and Muller's of two uniform ones, with the moments of a normal distribution") {
  pl::Random normal(5), uniform(5);
  double moments[5] = {};
  int wrong = 0;
  constexpr int count = 20000;
  for (int i = 0; i < count; ++i) {
    const double value = normal.normal();
    const double radius = std::sqrt(2.0 * -std::log1p(-uniform.uniform()));
    const double expected = radius * std::cos(8.0 * std::atan(1.0) * uniform.uniform());
    wrong += !(std::fabs(value - expected) <= 1e-12 * (1.0 + radius));
    double power = 1.0;
    for (double& moment : moments) {
      moment += power / count;
      power *= value;
    }
  }
  CHECK(wrong == 0);
  CHECK(std::fabs(moments[1]) < 0.05);
  CHECK(std::fabs(moments[2] - 1.0) < 0.05);
  CHECK(std::fabs(moments[3]) < 0.2);
  CHECK(std::fabs(moments[4] - 3.0) < 0.3);
}

TEST_CASE("terms in bfloat16 vanish below 2^-56, on both sides, and not at it") {
  for (const float sign : {1.0f, -1.0f}) {
    CHECK(pl::bfloat16_term(sign * pl::least_bfloat16_term) == sign * pl::least_bfloat16_term);
    CHECK(pl::bfloat16_term(sign * 0x1.02p-56f) == sign * 0x1.02p-56f);
    CHECK(pl::bfloat16_term(sign * 0x1.fcp-57f) == 0.0f);
    CHECK(pl::bfloat16_term(sign * 3.0f) == sign * 3.0f);
  }
}

}  // namespace
