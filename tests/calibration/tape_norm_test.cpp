#include <planish/calibration/tape/activation.hpp>
#include <planish/calibration/tape/norm.hpp>

#include "tape_runs.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using tape_runs::check_float;
namespace tape = planish::calibration::tape;
using tape::Tape;
using tape::Variable;

namespace {

struct NormShape {
  planish::index rows, columns;
};
constexpr NormShape norm_shapes[] = {{1, 1}, {1, 7}, {7, 1}, {5, 13}, {3, 16}, {4, 67}};

}  // namespace

TEST_CASE("rms_norm and layer_norm: gradients equal central differences") {
  for (const NormShape shape : norm_shapes) {
    const planish::index rows = shape.rows, columns = shape.columns;
    CAPTURE(rows);
    CAPTURE(columns);
    Parameter x(rows, columns, 1, 0.3), gain(1, columns, 2, 1.0, 0.3), bias(1, columns, 3);
    check({&x, &gain}, [](auto&, auto& p) { return weighted_sum(tape::rms_norm(p[0], p[1], 1e-2)); });
    check({&x, &gain, &bias}, [](auto&, auto& p) { return weighted_sum(tape::layer_norm(p[0], p[1], p[2], 1e-2)); });
    check({&x}, [&](auto& t, auto& p) { return weighted_sum(tape::rms_norm(p[0], t.constant(gain.view()), 1e-2)); });
    check({&gain}, [&](auto& t, auto& p) { return weighted_sum(tape::rms_norm(t.constant(x.view()), p[0], 1e-2)); });
    // a residual: x collects two gradients
    check({&x, &gain}, [](auto&, auto& p) { return weighted_sum(tape::add(tape::rms_norm(p[0], p[1], 1e-2), p[0])); });
  }
}

TEST_CASE("rms_norm and layer_norm: values by the definition") {
  Parameter x(3, 37, 4, 5.0, 2.0), gain(1, 37, 5), bias(1, 37, 6);
  Tape<double> t;
  const auto rms = tape::rms_norm(t.constant(x.view()), t.constant(gain.view()), 1e-5).value();
  const auto layer =
      tape::layer_norm(t.constant(x.view()), t.constant(gain.view()), t.constant(bias.view()), 1e-5).value();
  for (planish::index r = 0; r < 3; ++r) {
    double mean = 0.0, square = 0.0, variance = 0.0;
    for (planish::index c = 0; c < 37; ++c) mean += x.view()(r, c) / 37.0;
    for (planish::index c = 0; c < 37; ++c) {
      square += x.view()(r, c) * x.view()(r, c) / 37.0;
      variance += (x.view()(r, c) - mean) * (x.view()(r, c) - mean) / 37.0;
    }
    for (planish::index c = 0; c < 37; ++c) {
      const double v = x.view()(r, c), g = gain.view()(0, c);
      CHECK(rms(r, c) == doctest::Approx(v / std::sqrt(square + 1e-5) * g).epsilon(1e-12));
      CHECK(layer(r, c) ==
            doctest::Approx((v - mean) / std::sqrt(variance + 1e-5) * g + bias.view()(0, c)).epsilon(1e-12));
    }
  }
}

TEST_CASE("activations: gradients equal central differences") {
  for (const NormShape shape : norm_shapes) {
    const planish::index rows = shape.rows, columns = shape.columns;
    CAPTURE(rows);
    CAPTURE(columns);
    Parameter x(rows, columns, 7, 0.0, 3.0), y(rows, columns, 8);
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::silu(p[0])); });
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::gelu(p[0])); });
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::gelu_tanh(p[0])); });
    check({&x, &y}, [](auto&, auto& p) { return weighted_sum(tape::swiglu(p[0], p[1])); });
    check({&x, &y}, [](auto&, auto& p) { return weighted_sum(tape::multiply_elements(p[0], p[1])); });
    // one variable as both operands
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::swiglu(p[0], p[0])); });
    check({&x}, [](auto&, auto& p) {
      const auto s = tape::silu(p[0]);
      return weighted_sum(tape::multiply_elements(s, s));
    });
  }
}

TEST_CASE("activations: values, far from zero too") {
  std::vector<float> values{-200.0f, -88.0f, -20.0f, -1.0f, 0.0f, 0.5f, 3.0f, 20.0f, 88.0f, 200.0f};
  const auto n = static_cast<planish::index>(values.size());
  Tape<float> t;
  const auto x = t.constant({values.data(), 1, n});
  const auto silu = tape::silu(x).value(), gelu = tape::gelu(x).value(), approximate = tape::gelu_tanh(x).value();
  for (planish::index i = 0; i < n; ++i) {
    const double v = static_cast<double>(values[static_cast<std::size_t>(i)]);
    CAPTURE(v);
    const double inner = std::sqrt(2.0 / 3.14159265358979323846) * (v + 0.044715 * v * v * v);
    CHECK(std::fabs(static_cast<double>(silu(0, i)) - v / (1.0 + std::exp(-v))) <= 2e-6 * std::fabs(v));
    CHECK(std::fabs(static_cast<double>(gelu(0, i)) - 0.5 * v * std::erfc(-v / std::sqrt(2.0))) <= 2e-6 * std::fabs(v));
    CHECK(std::fabs(static_cast<double>(approximate(0, i)) - 0.5 * v * (1.0 + std::tanh(inner))) <=
          2e-6 * std::fabs(v));
  }
}

TEST_CASE("norms and activations: float equals double, and itself on any number of threads") {
  Parameter x(97, 421, 9), y(97, 421, 10), gain(1, 421, 11, 1.0, 0.2), bias(1, 421, 12);
  check_float({&x, &gain},
              []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::rms_norm(p[0], p[1], T{1e-5f}); });
  check_float({&x, &gain, &bias}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
    return tape::layer_norm(p[0], p[1], p[2], T{1e-5f});
  });
  check_float({&x, &y}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::swiglu(p[0], p[1]); });
  check_float({&x}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::silu(p[0]); });
  check_float({&x}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::gelu(p[0]); });
  check_float({&x}, []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::gelu_tanh(p[0]); });
  check_float({&x, &y},
              []<class T>(Tape<T>&, std::vector<Variable<T>>& p) { return tape::multiply_elements(p[0], p[1]); });
}

TEST_CASE("norms and activations: misuse throws a sentence") {
  Parameter x(4, 6, 13), wrong(1, 5, 14);
  Tape<double> t;
  const auto a = t.constant(x.view()), b = t.constant(wrong.view());
  CHECK_THROWS_WITH_AS((void)tape::rms_norm(a, b, 1e-5), "the gain of a norm of 6 columns is 1 x 5", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::layer_norm(a, t.reshape(a, 1, 24), b, 1e-5),
                       "the gain of a norm of 6 columns is 1 x 24", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::swiglu(a, b), "a product by elements of 4 x 6 and 1 x 5", planish::Error);
}
