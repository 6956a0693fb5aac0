#include <planish/calibration/tape/kronecker_clamp_and_quantize.hpp>

#include "tape_runs.hpp"

using gradient_check::Parameter;
namespace tape = planish::calibration::tape;
using tape::FakeQuantizer;

namespace {

/// Weights by factors and scale, clamped and quantized: by one operation or by the two it stands for.
auto quantized(bool at_once, const FakeQuantizer& q, bool has_left, bool has_right, bool has_scale) {
  return [=](auto&, auto& p) {
    using Variable = std::decay_t<decltype(p[0])>;
    using Optional = std::optional<Variable>;
    const Optional left = has_left ? Optional(p[1]) : Optional(), right = has_right ? Optional(p[2]) : Optional(),
                   scale = has_scale ? Optional(p[3]) : Optional();
    const planish::index n1 = p[1].rows(), n2 = p[2].rows();
    if (at_once) return tape::kronecker_clamp_and_quantize(p[0], {n1, n2, left, right, scale}, p[4], p[5], q);
    const Variable turned = left && right ? tape::kronecker(p[0], *left, *right, scale)
                            : left        ? tape::kronecker_left(p[0], *left, scale)
                                          : tape::kronecker_right(p[0], *right, scale);
    return tape::clamp_and_quantize_rows(turned, p[4], p[5], q);
  };
}

}  // namespace

TEST_CASE("kronecker_clamp_and_quantize: the two operations that it joins, to the bit, on any number of threads") {
  struct Sizes {
    planish::index rows, n1, n2;
  };
  for (const auto& s : {Sizes{1, 1, 2}, {5, 3, 4}, {130, 24, 24}, {70, 9, 64}, {45, 32, 48}})
    for (int missing = 0; missing < 4; ++missing) {
      CAPTURE(s.n1);
      CAPTURE(s.n2);
      CAPTURE(missing);
      Parameter w(s.rows, s.n1 * s.n2, 1), left(s.n1, s.n1, 2), right(s.n2, s.n2, 3);
      Parameter scale(1, s.n1 * s.n2, 4, 1.0, 0.1), upper(s.rows, 1, 5, 0.8, 0.05), lower(1, 1, 6, 0.7, 0.05);
      const std::vector<Parameter*> parameters{&w, &left, &right, &scale, &upper, &lower};
      const FakeQuantizer q{.bits = 4};
      const auto one = quantized(true, q, missing != 1, missing != 2, missing != 3);
      const auto two = quantized(false, q, missing != 1, missing != 2, missing != 3);
      const auto expected = tape_runs::run<float>(parameters, two);
      const auto exact = tape_runs::run<double>(parameters, two), at_once = tape_runs::run<double>(parameters, one);
      CHECK(at_once.value == exact.value);
      for (std::size_t i = 0; i < parameters.size(); ++i)
        CHECK(tape_runs::difference(at_once.gradients[i], exact.gradients[i]) < 1e-12);
      for (int workers : {1, 2, 3}) {
        ThreadPerWorker threads{workers};
        const auto made = tape_runs::run<float>(parameters, one, threads);
        CHECK(made.value == expected.value);
        CHECK(made.gradients == expected.gradients);
      }
    }
}

TEST_CASE("kronecker_clamp_and_quantize: weights that are constants, and the codes they leave") {
  Parameter w(40, 12, 1), left(3, 3, 2), right(4, 4, 3), ones(1, 1, 4, 1.0, 0.0);
  tape::Tape<float> t;
  std::vector<float> values(w.values.begin(), w.values.end()), l(left.values.begin(), left.values.end()),
      r(right.values.begin(), right.values.end()), one(1, 1.0f);
  const auto by =
      tape::KroneckerVariables<float>{3, 4, t.constant({l.data(), 3, 3}), t.constant({r.data(), 4, 4}), std::nullopt};
  const auto clip = t.constant({one.data(), 1, 1});
  const auto y = tape::kronecker_clamp_and_quantize(t.constant({values.data(), 40, 12}), by, clip, clip, {.bits = 4});
  CHECK_FALSE(y.needs_gradient());
  REQUIRE(t.codes_of(y));
  CHECK(static_cast<float>(t.codes_of(y)->row(39)[11]) * t.codes_of(y)->scales[39] == y.value()(39, 11));
}

TEST_CASE("kronecker_clamp_and_quantize: misuse throws a sentence") {
  Parameter w(5, 12, 1), left(3, 3, 2), right(4, 4, 3), wide(3, 4, 4), clip(5, 1, 5), two(2, 1, 6);
  tape::Tape<double> t;
  const auto on = [&](Parameter& p) { return t.constant(p.view()); };
  const auto make = [&](tape::KroneckerVariables<double> by, const FakeQuantizer& q) {
    (void)tape::kronecker_clamp_and_quantize(on(w), by, on(clip), on(clip), q);
  };
  CHECK_THROWS_WITH_AS(make({3, 4, on(wide), on(right)}, {.bits = 4}),
                       "a factor of a Kronecker product is 3 x 4, not square", planish::Error);
  CHECK_THROWS_WITH_AS(make({4, 3, on(left), on(right)}, {.bits = 4}), "factors of 4 and 3 on rows of 12",
                       planish::Error);
  CHECK_THROWS_WITH_AS(make({3, 4, on(left), on(right), on(left)}, {.bits = 4}), "scaling 12 columns by 3 x 3 factors",
                       planish::Error);
  CHECK_THROWS_WITH_AS(make({3, 4, on(left), on(right)}, {.bits = 4, .group_size = 4}),
                       "rows that are quantized where they are made have one scale each", planish::Error);
  CHECK_THROWS_WITH_AS(make({3, 4, on(left), on(right)}, {.bits = 9}), "codes have 2 to 8 bits, not 9", planish::Error);
  CHECK_THROWS_WITH_AS(
      (void)tape::kronecker_clamp_and_quantize(on(w), {3, 4, on(left), on(right)}, on(two), on(clip), {.bits = 4}),
      "an upper clamp factor of 5 rows is 1 x 1 or 5 x 1, not 2 x 1", planish::Error);
}
