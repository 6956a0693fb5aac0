#include <algorithm>
#include <random>
#include <utility>

#include <planish/calibration/methods/flatquant/learn_flatquant.hpp>
#include <planish/calibration/optimizer/learn.hpp>
#include <planish/calibration/tape/loss.hpp>

#include "gradient_check.hpp"

using namespace planish::calibration;
using planish::MatrixView;

namespace {

/// Minimises (a − target)² over a row of numbers.
struct Problem {
  std::vector<float> target{1.0f, -2.0f, 0.5f};
  ParameterSet<float> parameters;
  LearnedMatrix<float>* a = &parameters.add("a", 1, 3);
  tape::Tape<float> on;

  planish::Result<LearnReport> run(const LearnOptions& options, planish::index stop_at = -1) {
    return learn(
        parameters, on, options,
        [&](planish::index) {
          return tape::mean_squared_error(a->record(on), MatrixView<const float>(target.data(), 1, 3));
        },
        [&](const LearnProgress& p) { return p.step != stop_at; });
  }
};

}  // namespace

TEST_CASE("AdamW's first step is the sign of the gradient times the rate, and decay pulls to zero") {
  ParameterSet<double> set;
  auto& m = set.add("m", 1, 3, 2.0);
  m.gradient = {5.0, -0.001, 0.0};
  AdamW<double>(set, {.weight_decay = 0.0}).step(0.1);
  CHECK(m.values[0] == doctest::Approx(1.9));
  CHECK(m.values[1] == doctest::Approx(2.1).epsilon(1e-4));
  CHECK(m.values[2] == 2.0);
  AdamW<double>(set, {.weight_decay = 0.5}).step(0.1);
  CHECK(m.values[2] == doctest::Approx(2.0 * (1.0 - 0.05)));
}

TEST_CASE("AdamW leaves a matrix alone until a gradient reaches it") {
  ParameterSet<double> set;
  auto& m = set.add("m", 1, 2, 2.0);
  auto& other = set.add("other", 1, 1, 2.0);
  other.gradient = {1.0};
  AdamW<double> optimizer(set, {.weight_decay = 0.5});
  optimizer.step(0.1);
  CHECK(m.values == std::vector<double>{2.0, 2.0});
  CHECK(other.values[0] < 2.0);
  m.gradient = {1.0, 0.0};
  optimizer.step(0.1);
  m.gradient = {0.0, 0.0};
  optimizer.step(0.1);
  CHECK(m.values[1] == doctest::Approx(2.0 * 0.95 * 0.95));
}

TEST_CASE("AdamW follows its definition over several steps, with a rate of its own per parameter") {
  ParameterSet<double> set;
  auto& slow = set.add("slow", 1, 1, 1.0);
  auto& fast = set.add("fast", 1, 1, 1.0, 10.0);
  AdamW<double> optimizer(set, {.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.1});
  double m = 0.0, v = 0.0, x = 1.0, y = 1.0;
  for (int step = 1; step <= 5; ++step) {
    const double g = 0.3 * step - 1.0;
    slow.gradient[0] = fast.gradient[0] = g;
    optimizer.step(0.01);
    m = 0.8 * m + 0.2 * g;
    v = 0.9 * v + 0.1 * g * g;
    const double move = m / (1.0 - std::pow(0.8, step)) / (std::sqrt(v / (1.0 - std::pow(0.9, step))) + 1e-3);
    x -= 0.01 * (0.1 * x + move);
    y -= 0.1 * (0.1 * y + move);
    CHECK(slow.values[0] == doctest::Approx(x).epsilon(1e-12));
    CHECK(fast.values[0] == doctest::Approx(y).epsilon(1e-12));
  }
}

TEST_CASE("rows with rates of their own follow the definition without decay, and what no longer learns stays") {
  constexpr planish::index rows = 5, columns = 37;
  ParameterSet<float> set;
  auto& w = set.add("w", rows, columns, 1.0f, 2.0);
  for (planish::index r = 0; r < rows; ++r) w.row_rates.push_back(0.1f * static_cast<float>(r));
  auto& fixed = set.add("fixed", 1, 3, 1.0f);
  fixed.gradient.assign(3, 1.0f);
  fixed.learns = false;
  AdamW<float> optimizer(set, {.beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.5});
  std::vector<double> m(w.values.size()), v(m), x(m.size(), 1.0);
  for (int step = 1; step <= 5; ++step) {
    for (std::size_t i = 0; i < m.size(); ++i) {
      const double g = std::sin(static_cast<double>(i) + 0.3 * step);
      w.gradient[i] = static_cast<float>(g);
      m[i] = 0.8 * m[i] + 0.2 * g;
      v[i] = 0.9 * v[i] + 0.1 * g * g;
      const double move = m[i] / (1.0 - std::pow(0.8, step)) / (std::sqrt(v[i] / (1.0 - std::pow(0.9, step))) + 1e-3);
      x[i] -= 0.01 * 2.0 * 0.1 * static_cast<double>(i / columns) * move;
    }
    optimizer.step(0.01);
  }
  for (std::size_t i = 0; i < x.size(); ++i)
    CHECK(static_cast<double>(w.values[i]) == doctest::Approx(x[i]).epsilon(1e-6));
  CHECK(w.values[0] == 1.0f);
  CHECK(fixed.values == std::vector<float>(3, 1.0f));
  tape::Tape<float> on;
  CHECK_FALSE(fixed.record(on).needs_gradient());
}

TEST_CASE("the cosine starts at the peak, ends near the last share, and rises before it if asked") {
  const CosineSchedule s{.peak = 0.4, .steps = 10, .last_share = 0.1};
  CHECK(s.rate(0) == doctest::Approx(0.4));
  CHECK(s.rate(5) == doctest::Approx(0.4 * 0.55));
  CHECK(s.rate(10) == doctest::Approx(0.04));
  const CosineSchedule w{.peak = 0.4, .steps = 10, .last_share = 0.1, .warm_up = 4};
  CHECK(w.rate(0) == doctest::Approx(0.004));
  CHECK(w.rate(4) == doctest::Approx(0.4));
  for (planish::index i = 1; i < 4; ++i) CHECK(w.rate(i) > w.rate(i - 1));
}

TEST_CASE("learning reaches the target, and says what the loss did") {
  Problem p;
  const auto report = p.run({.epochs = 400, .learning_rate = 0.05, .adamw = {.weight_decay = 0.0}});
  REQUIRE(report);
  CHECK(report->loss_before == doctest::Approx((1.0 + 4.0 + 0.25) / 3.0));
  CHECK(report->loss_after < 1e-4);
  CHECK(report->step_losses.size() == 400);
  CHECK(report->attempts == 1);
}

TEST_CASE("a learning rate far too high is halved until it works, else the start is the result, or a named error") {
  Problem p;
  const auto kept = p.run({.epochs = 3, .learning_rate = 1e6, .retries = 1});
  REQUIRE(kept);
  CHECK(kept->attempts == 2);
  CHECK(kept->loss_after == kept->loss_before);
  CHECK(p.a->values == std::vector<float>(3, 0.0f));
  const auto refused = p.run({.epochs = 3, .learning_rate = 1e38, .retries = 1});
  REQUIRE_FALSE(refused);
  CHECK(refused.status().code() == planish::ErrorCode::not_finite);
  CHECK(std::string(refused.status().message()).find("diverged 2 times") != std::string::npos);
  CHECK(p.a->values == std::vector<float>(3, 0.0f));
  const auto found = p.run({.epochs = 20, .learning_rate = 64.0, .retries = 12});
  REQUIRE(found);
  CHECK(found->attempts > 1);
  CHECK(found->loss_after <= found->loss_before);
}

TEST_CASE("a run can be stopped, and NaN at the start is named") {
  Problem p;
  const auto report = p.run({.epochs = 50}, 7);
  REQUIRE(report);
  CHECK(report->stopped);
  CHECK(report->step_losses.size() == 7);
  p.target[1] = std::nanf("");
  const auto nan = p.run({.epochs = 5});
  REQUIRE_FALSE(nan);
  CHECK(std::string(nan.status().message()) == "the loss is not finite before the first step");
  CHECK(p.run({.epochs = 0}).status().code() == planish::ErrorCode::invalid_argument);
}

TEST_CASE("the loss before and after is the mean of so many batches, evenly spread") {
  const std::pair<planish::index, planish::index> cases[] = {{5, 16}, {40, 16}, {7, 3}};
  for (const auto& sizes : cases) {
    const planish::index batches = sizes.first, evaluated = sizes.second;
    CAPTURE(batches);
    Problem problem;
    std::vector<planish::index> asked;
    planish::index steps = 0;
    const auto report = learn(
        problem.parameters, problem.on, {.epochs = 1, .batches = batches, .evaluated = evaluated},
        [&](planish::index batch) {
          asked.push_back(batch);
          return tape::mean_squared_error(problem.a->record(problem.on),
                                          MatrixView<const float>(problem.target.data(), 1, 3));
        },
        [&](const LearnProgress&) { return ++steps > 0; });
    REQUIRE(report.status().ok());
    const planish::index count = std::min(batches, evaluated);
    std::vector<planish::index> expected;
    for (planish::index i = 0; i < count; ++i) expected.push_back(i * batches / count);
    for (planish::index i = 0; i < batches; ++i) expected.push_back(i);
    for (planish::index i = 0; i < count; ++i) expected.push_back(i * batches / count);
    CHECK(asked == expected);
    CHECK(steps == batches);
  }
  Problem problem;
  CHECK(problem.run({.evaluated = 0}).status().code() == planish::ErrorCode::invalid_argument);
}

TEST_CASE("where the second passes have another loss, losses are compared by what both fell") {
  for (const bool same : {true, false}) {
    CAPTURE(same);
    Problem problem;
    const auto loss_of_now = [&] {
      double sum = 0.0;
      for (std::size_t i = 0; i < 3; ++i) {
        const auto off = static_cast<double>(problem.a->values[i] - problem.target[i]);
        sum += off * off / 3.0;
      }
      return sum;
    };
    const double start = loss_of_now();
    double between = 0.0, moved = 0.0;
    const FlatQuant method{.epochs = 5, .learning_rate = 0.1, .weight_epochs = 5, .weight_rate = 0.1};
    const auto report = learn_flatquant(
        method, 1, problem.parameters, problem.on,
        [&](planish::index) {
          return tape::mean_squared_error(problem.a->record(problem.on),
                                          MatrixView<const float>(problem.target.data(), 1, 3));
        },
        [&] {
          between = loss_of_now();
          if (!same) problem.target = {-3.0f, 4.0f, 1.0f};
          moved = loss_of_now();
          return same;
        },
        [](const LearnProgress&) { return true; });
    REQUIRE(report.status().ok());
    CHECK(report->step_losses.size() == 10);
    CHECK(report->loss_before == doctest::Approx(start));
    CHECK(report->loss_after == doctest::Approx(loss_of_now()));
    CHECK(report->change_of_inputs == doctest::Approx(moved / between));
    CHECK(report->loss_after / report->comparable_before() ==
          doctest::Approx(between / start * (loss_of_now() / moved)));
    CHECK(report->loss_after < report->comparable_before());
    CHECK((report->loss_after < report->loss_before) == same);
  }
}
