#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <doctest/doctest.h>

#include <planish/core/half.hpp>
#include <planish/core/random.hpp>

using planish::BFloat16;
using planish::Half;

TEST_CASE("Half: every finite pattern survives the way through float") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const float value = half.to_float();
    if (std::isnan(value))
      CHECK(std::isnan(Half::from_float(value).to_float()));
    else if (Half::from_float(value).bits != bits)
      FAIL_CHECK("pattern ", bits, " came back as ", Half::from_float(value).bits);
  }
}

TEST_CASE("Half and BFloat16: round to nearest, ties to even") {
  CHECK(Half::from_float(2049.0f).to_float() == 2048.0f);  // tie between 2048 and 2050
  CHECK(Half::from_float(2051.0f).to_float() == 2052.0f);
  CHECK(Half::from_float(65519.0f).to_float() == 65504.0f);
  CHECK(std::isinf(Half::from_float(65520.0f).to_float()));
  CHECK(Half::from_float(0x1p-25f).to_float() == 0.0f);  // tie between 0 and the least subnormal
  CHECK(Half::from_float(0x1.8p-25f).to_float() == 0x1p-24f);
  CHECK(std::signbit(Half::from_float(-0.0f).to_float()));
  CHECK(BFloat16::from_float(std::bit_cast<float>(0x3f808000u)).bits == 0x3f80);
  CHECK(BFloat16::from_float(std::bit_cast<float>(0x3f818000u)).bits == 0x3f82);
  CHECK(std::isnan(BFloat16::from_float(std::bit_cast<float>(0x7f800001u)).to_float()));
}

TEST_CASE("Half: the error of rounding is at most half a step, 100000 random floats") {
  planish::Random random(20241009);
  for (int i = 0; i < 100000; ++i) {
    const float value = static_cast<float>(random.normal() * std::exp2(random.uniform() * 28.0 - 14.0));
    if (std::fabs(value) > 65504.0f) continue;
    const float step =
        std::fabs(value) < 0x1p-14f ? 0x1p-24f : std::exp2(std::floor(std::log2(std::fabs(value))) - 10.0f);
    CHECK(std::fabs(Half::from_float(value).to_float() - value) <= 0.5f * step);
  }
}
