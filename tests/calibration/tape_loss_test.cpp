#include <planish/calibration/tape/loss.hpp>

#include "tape_runs.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using tape_runs::check_float;
namespace tape = planish::calibration::tape;
using tape::Tape;
using tape::Variable;

namespace {

/// The Huber loss with a threshold that is held.
double huber_with(double delta, const Parameter& y, const Parameter& target) {
  double sum = 0.0;
  for (std::size_t i = 0; i < y.values.size(); ++i) {
    const double e = std::fabs(y.values[i] - target.values[i]);
    sum += e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta);
  }
  return sum / static_cast<double>(y.values.size());
}

}  // namespace

TEST_CASE("losses: gradients equal central differences") {
  for (const auto& shape : {std::pair<planish::index, planish::index>{1, 1}, {1, 17}, {13, 1}, {5, 33}}) {
    const planish::index rows = shape.first, columns = shape.second;
    CAPTURE(rows);
    CAPTURE(columns);
    Parameter y(rows, columns, 1), target(rows, columns, 2);
    check({&y}, [&](auto&, auto& p) { return tape::mean_squared_error(p[0], target.view()); });
    check({&y}, [&](auto&, auto& p) { return tape::mean_absolute_error(p[0], target.view()); });
    // a threshold beyond every error: half the squared error, whatever the threshold does
    check({&y}, [&](auto&, auto& p) { return tape::huber(p[0], target.view(), 1000.0); });
    check({&y}, [&](auto&, auto& p) {
      const auto loss = tape::mean_squared_error(p[0], target.view());
      return tape::add(loss, tape::scale_columns(loss, tape::mean_absolute_error(p[0], target.view())));
    });
  }
}

TEST_CASE("huber: value by the definition, gradient with the threshold held") {
  Parameter y(7, 19, 3, 0.0, 2.0), target(7, 19, 4);
  for (double factor : {0.5, 1.0, 3.0}) {
    double delta = 0.0;
    for (std::size_t i = 0; i < y.values.size(); ++i) delta += std::fabs(y.values[i] - target.values[i]);
    delta *= factor / static_cast<double>(y.values.size());
    Tape<double> t;
    std::fill(y.gradient.begin(), y.gradient.end(), 0.0);
    const auto loss = tape::huber(t.parameter(y.view(), y.gradient_view()), target.view(), factor);
    CHECK(loss.value()(0, 0) == doctest::Approx(huber_with(delta, y, target)).epsilon(1e-12));
    t.backward(loss);
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      const double saved = y.values[i], step = 1e-6;
      y.values[i] = saved + step;
      const double above = huber_with(delta, y, target);
      y.values[i] = saved - step;
      const double below = huber_with(delta, y, target);
      y.values[i] = saved;
      CHECK(std::fabs(y.gradient[i] - (above - below) / (2.0 * step)) < 1e-8);
    }
  }
}

TEST_CASE("normalised: the value is 1, the gradient that of the logarithm; zero stays zero") {
  Parameter y(5, 9, 5), target(5, 9, 6);
  const auto gradient_of = [&](bool divided) {
    Tape<double> t;
    std::fill(y.gradient.begin(), y.gradient.end(), 0.0);
    auto loss = tape::mean_squared_error(t.parameter(y.view(), y.gradient_view()), target.view());
    const double value = loss.value()(0, 0);
    if (divided) {
      loss = tape::normalised(loss);
      CHECK(loss.value()(0, 0) == doctest::Approx(1.0));
    }
    t.backward(loss);
    auto gradient = y.gradient;
    if (!divided)
      for (double& g : gradient) g /= value;
    return gradient;
  };
  CHECK(tape_runs::difference(gradient_of(true), gradient_of(false)) < 1e-14);

  Tape<double> t;
  std::fill(y.gradient.begin(), y.gradient.end(), 0.0);
  const auto none = tape::normalised(tape::mean_squared_error(t.parameter(y.view(), y.gradient_view()), y.view()));
  CHECK(none.value()(0, 0) == 0.0);
  t.backward(none);
  for (double g : y.gradient) CHECK(g == 0.0);
}

TEST_CASE("mean_absolute_error: an error of zero has slope zero") {
  Parameter y(1, 3, 7), target(1, 3, 8);
  target.values[1] = y.values[1];
  Tape<double> t;
  t.backward(tape::mean_absolute_error(t.parameter(y.view(), y.gradient_view()), target.view()));
  CHECK(y.gradient[1] == 0.0);
  CHECK(std::fabs(y.gradient[0]) == doctest::Approx(1.0 / 3.0));
}

TEST_CASE("losses: float equals double, and itself on any number of threads") {
  Parameter y(211, 173, 9), target(211, 173, 10);
  std::vector<float> single(target.values.size());
  std::transform(target.values.begin(), target.values.end(), single.begin(),
                 [](double v) { return static_cast<float>(v); });
  const auto against = [&]<class T>(Tape<T>&) -> planish::MatrixView<const T> {
    if constexpr (std::is_same_v<T, float>)
      return {single.data(), 211, 173};
    else
      return target.view();
  };
  check_float({&y}, [&]<class T>(Tape<T>& t, std::vector<Variable<T>>& p) {
    return tape::mean_squared_error(p[0], against(t));
  });
  check_float({&y}, [&]<class T>(Tape<T>& t, std::vector<Variable<T>>& p) {
    return tape::mean_absolute_error(p[0], against(t));
  });
  check_float({&y}, [&]<class T>(Tape<T>& t, std::vector<Variable<T>>& p) { return tape::huber(p[0], against(t)); });
}

TEST_CASE("losses: misuse throws a sentence") {
  Parameter y(4, 6, 11), other(6, 4, 12);
  Tape<double> t;
  const auto a = t.parameter(y.view(), y.gradient_view());
  CHECK_THROWS_WITH_AS((void)tape::mean_squared_error(a, other.view()), "a loss of 4 x 6 against 6 x 4",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::mean_squared_error(a, other.view().transposed()),
                       "the rows of a target must be contiguous", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::huber(a, y.view(), 0.0),
                       "the Huber threshold is a positive multiple of the mean absolute error", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::normalised(a), "a loss is a number, not 4 x 6", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::mean_squared_error(a, y.view().middle_rows(0, 3)), "a loss of 4 x 6 against 3 x 6",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::mean_squared_error(a, y.view().middle_columns(0, 5)),
                       "a loss of 4 x 6 against 4 x 5", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::mean_squared_error(t.constant({y.values.data(), 4, 0}), {y.values.data(), 4, 0}),
                       "a loss over no elements", planish::Error);
}

TEST_CASE("losses: errors are added up in sixteen sums that take turns, row by row") {
  for (planish::index columns : {1, 15, 16, 17, 31, 32, 33, 48})
    for (planish::index rows : {1, 3}) {
      CAPTURE(columns);
      Parameter y(rows, columns, 21, 0.0, 1e3), target(rows, columns, 22);
      Tape<double> t;
      double chain[16] = {};
      for (planish::index r = 0; r < rows; ++r)
        for (planish::index c = 0; c < columns; ++c) {
          // no product, which a compiler may fuse into the sum
          chain[c < columns / 16 * 16 ? c % 16 : 0] += y.view()(r, c) - target.view()(r, c);
        }
      double sum = 0.0;
      for (double part : chain) sum += part;
      const double mean = tape::detail::mean_of_errors<double>(t, y.view(), target.view(), [](double e) { return e; });
      CHECK(mean == sum / static_cast<double>(rows * columns));
    }
}
