#include "gradient_check.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
namespace tape = planish::calibration::tape;

TEST_CASE("elementwise operations: gradients equal central differences") {
  Parameter x(5, 7, 1), y(5, 7, 2), c(1, 7, 3, 1.5, 0.3);
  check({&x, &y}, [](auto&, auto& p) { return weighted_sum(tape::add(p[0], p[1])); });
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::add(p[0], p[0])); });
  check({&x, &c}, [](auto&, auto& p) { return weighted_sum(tape::scale_columns(p[0], p[1])); });
  check({&x, &c}, [](auto&, auto& p) { return weighted_sum(tape::add_to_rows(p[0], p[1])); });
  check({&x, &c}, [](auto&, auto& p) { return weighted_sum(tape::scale_columns(p[0], tape::reciprocal(p[1]))); });
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::exponential(p[0])); });
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::softplus(p[0])); });
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::sigmoid(p[0])); });
}

TEST_CASE("a value that is used twice, once through another shape, collects both gradients") {
  Parameter x(4, 6, 4), c(1, 3, 5);
  check({&x, &c}, [](auto& t, auto& p) {
    const auto y = tape::sigmoid(p[0]);
    const auto halves = tape::scale_columns(t.reshape(y, 8, 3), p[1]);
    return weighted_sum(tape::add(t.reshape(halves, 4, 6), y));
  });
}

TEST_CASE("the second step allocates nothing") {
  Parameter x(40, 60, 6), c(1, 60, 7);
  tape::Tape<double> t;
  std::size_t after_first = 0;
  for (int step = 0; step < 3; ++step) {
    t.backward(weighted_sum(tape::scale_columns(tape::sigmoid(t.parameter(x.view(), x.gradient_view())),
                                                t.parameter(c.view(), c.gradient_view()))));
    t.clear();
    if (step == 0) after_first = t.memory_bytes();
  }
  CHECK(after_first > 0);
  CHECK(t.memory_bytes() == after_first);
}

TEST_CASE("misuse throws a sentence") {
  Parameter x(4, 6, 8), y(6, 4, 9);
  tape::Tape<double> t;
  const auto a = t.parameter(x.view(), x.gradient_view()), b = t.constant(y.view());
  CHECK_THROWS_WITH_AS((void)tape::add(a, b), "a sum of 4 x 6 and 6 x 4", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::scale_columns(a, b), "scaling 6 columns by 6 x 4 factors", planish::Error);
  CHECK_THROWS_WITH_AS((void)t.reshape(a, 5, 5), "cannot read 4 x 6 elements as 5 x 5", planish::Error);
  CHECK_THROWS_WITH_AS(t.backward(a), "the loss is 4 x 6, not a number", planish::Error);
}
