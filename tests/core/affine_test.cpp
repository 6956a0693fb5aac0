#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include <doctest/doctest.h>

#include <planish/core/affine.hpp>
#include <planish/core/random.hpp>
#include <planish/core/rescale.hpp>

using namespace planish;

TEST_CASE("round_half_even agrees with the C library, ties and large values too") {
  Random random(3);
  for (float value :
       {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49999997f, 8388607.5f, 8388608.0f, -16777217.0f, 1e30f, -0.0f})
    CHECK(round_half_even(value) == std::nearbyint(value));
  for (int i = 0; i < 100000; ++i) {
    const float value = static_cast<float>(random.normal() * 200.0);
    CHECK(round_half_even(value) == std::nearbyint(value));
  }
}

TEST_CASE("value <-> code: the nearest code, clamped, for all widths") {
  Random random(5);
  for (int bits = 2; bits <= 8; ++bits)
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
      for (int trial = 0; trial < 200; ++trial) {
        CAPTURE(bits);
        const ValueRange range{static_cast<float>(-std::fabs(random.normal())),
                               static_cast<float>(std::fabs(random.normal()))};
        const ClipPair clip{static_cast<float>(0.5 + 0.5 * random.uniform()),
                            static_cast<float>(0.5 + 0.5 * random.uniform())};
        const Affine affine = affine_of(range, clip, bits, symmetry);
        const CodeRange codes = code_range(bits, symmetry);
        CHECK(affine.zero_point >= codes.lowest);
        CHECK(affine.zero_point <= codes.highest);
        for (int code = codes.lowest; code <= codes.highest; ++code)
          CHECK(to_code(to_value(code, affine), affine, codes) == code);
        const float value = static_cast<float>(random.normal());
        const int code = to_code(value, affine, codes);
        CHECK(code >= codes.lowest);
        CHECK(code <= codes.highest);
        if (code > codes.lowest && code < codes.highest)
          CHECK(std::fabs(to_value(code, affine) - value) <= 0.5001f * affine.scale);
      }
}

TEST_CASE("unclipped symmetric ranges reach +-(2^(b-1) - 1) and never the lowest code") {
  const Affine affine = symmetric_affine({-3.0f, 2.0f}, {}, 4);
  CHECK(affine.scale == 3.0f / 7.0f);
  CHECK(to_code(-3.0f, affine, code_range(4, Symmetry::symmetric)) == -7);
  const Affine clipped = symmetric_affine({-3.0f, 2.0f}, {0.5f, 0.5f}, 4);
  CHECK(to_code(-3.0f, clipped, code_range(4, Symmetry::symmetric)) == -8);  // clipping uses the lowest code
  CHECK(to_code(3.0f, clipped, code_range(4, Symmetry::symmetric)) == 7);
}

TEST_CASE("clips and ranges are multiplied and rounded before they are subtracted") {
  Random random(3);
  int wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto number = [&] { return static_cast<float>(random.normal()); };
    const ValueRange range{-std::fabs(number()), std::fabs(number())};
    const ClipPair clip{std::fabs(number()), std::fabs(number())};
    const volatile float up = clip.positive * range.highest, down = clip.negative * range.lowest;
    const volatile float span = up - down;
    wrong += asymmetric_affine(range, clip, 4).scale != span / 15.0f;
  }
  CHECK(wrong == 0);
}

TEST_CASE("degenerate ranges: scale 1, zero point 0, codes of zero") {
  for (ValueRange range : {ValueRange{0, 0}, ValueRange{-1e-39f, 1e-40f}, ValueRange{5.0f, -5.0f}})
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      const Affine affine = affine_of(range, {}, 4, symmetry);
      CHECK(affine.scale == 1.0f);
      CHECK(affine.zero_point == 0);
      CHECK(to_code(1e-40f, affine, code_range(4, symmetry)) == 0);
    }
}

TEST_CASE("NaN and infinity, and spans beyond float, have no scale") {
  const float infinity = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  CHECK(std::isnan(symmetric_affine({0, infinity}, {}, 8).scale));
  CHECK(std::isnan(asymmetric_affine({-most, most}, {}, 8).scale));
  CHECK_FALSE(is_finite(infinity));
  CHECK_FALSE(is_finite(std::numeric_limits<float>::quiet_NaN()));
  CHECK(is_finite(most));
  CHECK(std::isnan(rescale(0, not_finite_affine().scale, 1.0f, 0.0f)));
}

TEST_CASE("the epilogue rounds as written: one fused step, no contraction of the first") {
  Random random(9);
  for (int i = 0; i < 10000; ++i) {
    const auto accumulator = static_cast<std::int32_t>(random.bits());
    const float token = static_cast<float>(random.uniform()), channel = static_cast<float>(random.uniform());
    const float bias = static_cast<float>(random.normal());
    const volatile float first = static_cast<float>(accumulator) * token;
    CHECK(rescale(accumulator, token, channel, bias) == std::fma(static_cast<float>(first), channel, bias));
  }
}

TEST_CASE("the least and the greatest scale are scales") {
  const float most = std::numeric_limits<float>::max();
  for (const float sign : {1.0f, -1.0f}) {
    const auto range = [sign](float reach) { return sign > 0 ? ValueRange{0, reach} : ValueRange{-reach, 0}; };
    CHECK(symmetric_affine(range(7 * least_scale), {}, 4).scale == least_scale);
    CHECK(symmetric_affine(range(6 * least_scale), {}, 4).scale == 1.0f);
    CHECK(symmetric_affine(range(most), {}, 2).scale == most);
    CHECK(std::isnan(symmetric_affine(range(most), {2.0f, 2.0f}, 2).scale));
    CHECK(asymmetric_affine(range(15 * least_scale), {}, 4).scale == least_scale);
    CHECK(asymmetric_affine(range(14 * least_scale), {}, 4).scale == 1.0f);
    CHECK(asymmetric_affine(range(15 * least_scale), {}, 4).zero_point == (sign > 0 ? 0 : 15));
  }
}

TEST_CASE("clips reach from 2^-20 to 16, each of the two") {
  for (const float good : {0x1p-20f, 1.0f, 16.0f}) {
    CHECK(is_valid_clip({good, 1.0f}));
    CHECK(is_valid_clip({1.0f, good}));
  }
  for (const float bad : {0x1.fffffep-21f, 0x1.000002p4f, 0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    CHECK_FALSE(is_valid_clip({bad, 1.0f}));
    CHECK_FALSE(is_valid_clip({1.0f, bad}));
  }
}
