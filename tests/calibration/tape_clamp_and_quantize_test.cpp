#include <planish/calibration/tape/clamp_and_quantize.hpp>

#include "tape_runs.hpp"

using gradient_check::Parameter;
using gradient_check::weighted_sum;
using planish::Symmetry;
namespace tape = planish::calibration::tape;
using tape::FakeQuantizer;

namespace {

struct Clamped {
  std::vector<double> y, dw, upper, lower;
};

/// Values and gradients, by one operation or by the two it stands for.
Clamped clamped(bool at_once, Parameter w, Parameter upper, Parameter lower, const FakeQuantizer& q) {
  tape::Tape<double> t;
  const auto v = t.parameter(w.view(), w.gradient_view());
  const auto u = t.parameter(upper.view(), upper.gradient_view()), l = t.parameter(lower.view(), lower.gradient_view());
  const auto y =
      at_once ? tape::clamp_and_quantize_rows(v, u, l, q) : tape::fake_quantize_rows(tape::clamp_rows(v, u, l), q);
  std::vector<double> values = tape_runs::elements(y.value());
  t.backward(weighted_sum(y));
  return {values, w.gradient, upper.gradient, lower.gradient};
}

/// Rows of zeros and of one sign, and ends that come twice.
void make_awkward(Parameter& w) {
  for (planish::index c = 0; c < w.columns; ++c) {
    if (w.rows > 2) w.view()(2, c) = 0.0;
    if (w.rows > 3) w.view()(3, c) = -std::fabs(w.view()(3, c));
    if (w.rows > 4) w.view()(4, c) = std::fabs(w.view()(4, c));
    if (w.rows > 5) w.view()(5, c) = c % 3 == 0 ? 2.0 : (c % 3 == 1 ? -2.0 : w.view()(5, c));
  }
}

}  // namespace

TEST_CASE("clamp_and_quantize_rows: values and gradients of the two operations that it joins") {
  unsigned seed = 1;
  for (planish::index columns : {1, 7, 16, 67})
    for (planish::index group : {0, 16})
      for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
        for (int bits : {2, 4, 8})
          for (double clip : {0.3, 0.8, 0.97, 1.0, 1.2}) {
            CAPTURE(columns);
            CAPTURE(group);
            CAPTURE(bits);
            CAPTURE(clip);
            Parameter w(7, columns, seed++, 0.1);
            make_awkward(w);
            const planish::index clips = seed % 2 == 0 ? 7 : 1;
            const double spread = clip == 1.0 ? 0.0 : 0.02;
            const Parameter upper(clips, 1, seed++, clip, spread), lower(clips, 1, seed++, clip, spread);
            const FakeQuantizer q{bits, symmetry, group};
            const Clamped one = clamped(true, w, upper, lower, q), two = clamped(false, w, upper, lower, q);
            CHECK(one.y == two.y);
            CHECK(tape_runs::difference(one.dw, two.dw) < 1e-12);
            CHECK(tape_runs::difference(one.upper, two.upper) < 1e-11);
            CHECK(tape_runs::difference(one.lower, two.lower) < 1e-11);
          }
}

TEST_CASE("clamp_and_quantize_rows: without rounding, gradients are central differences") {
  Parameter w(5, 33, 11), upper(5, 1, 12, 0.8, 0.05), lower(1, 1, 13, 0.7, 0.05);
  for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
    const FakeQuantizer q{.bits = 4, .symmetry = symmetry, .rounds = false};
    gradient_check::check({&w, &upper, &lower}, [&](auto&, auto& p) {
      return weighted_sum(tape::clamp_and_quantize_rows(p[0], p[1], p[2], q));
    });
  }
}

TEST_CASE("clamp_and_quantize_rows in float: the values of the two operations to the bit; NaN stays") {
  std::vector<float> w(6 * 67), factor(6, 0.75f);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::sin(static_cast<float>(i * i % 1009));
  w[3] = std::numeric_limits<float>::quiet_NaN();
  w[70] = std::numeric_limits<float>::infinity();
  tape::Tape<float> t;
  const auto v = t.constant({w.data(), 6, 67}), f = t.constant({factor.data(), 6, 1});
  const FakeQuantizer q{.bits = 4};
  const auto one = tape::clamp_and_quantize_rows(v, f, f, q).value();
  const auto two = tape::fake_quantize_rows(tape::clamp_rows(v, f, f), q).value();
  for (planish::index c = 0; c < 67; ++c) {
    CHECK(std::isnan(one(0, c)));
    CHECK(std::isnan(one(1, c)));
    for (planish::index r = 2; r < 6; ++r) CHECK(one(r, c) == two(r, c));
  }
}
