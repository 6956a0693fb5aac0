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

/// Learns one number, with losses as it is told: the direction of a step does not depend on how large its loss is.
struct Told {
  ParameterSet<float> parameters;
  LearnedMatrix<float>* a = &parameters.add("a", 1, 1);
  tape::Tape<float> on;
  float target = 100.0f;
  std::vector<float> after_step{};  // the number
  planish::index asked = 0;         // losses

  /// `losses`: of every step, then of every batch after them.
  planish::Result<LearnReport> run(const LearnOptions& options, const std::vector<float>& losses,
                                   planish::index stop_at = -1) {
    return learn(
        parameters, on, options,
        [&](planish::index) {
          const auto loss = tape::mean_squared_error(a->record(on), MatrixView<const float>(&target, 1, 1));
          const float wanted = losses[static_cast<std::size_t>(asked++)];
          return tape::multiply_by(loss, wanted / loss.value()(0, 0));
        },
        [&](const LearnProgress& p) {
          after_step.push_back(a->values[0]);
          return p.step != stop_at;
        });
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

TEST_CASE("rows with rates of their own take one step each, in however many blocks they are taken") {
  constexpr planish::index rows = 8, columns = 5000;
  static_assert(tape::rows_per_block(rows, columns) < 4);
  ParameterSet<float> set;
  auto& w = set.add("w", rows, columns, 1.0f);
  w.row_rates.assign(rows, 1.0f);
  std::fill(w.gradient.begin(), w.gradient.end(), 2.0f);
  AdamW<float>(set, {.epsilon = 0.0}).step(0.25);
  CHECK(std::all_of(w.values.begin(), w.values.end(), [](float v) { return std::fabs(v - 0.75f) < 1e-6f; }));
}

TEST_CASE("the cosine starts at the peak, ends near the last share, and rises before it if asked") {
  const CosineSchedule s{.peak = 0.4, .steps = 10, .last_share = 0.1};
  CHECK(s.rate(0) == doctest::Approx(0.4));
  CHECK(s.rate(5) == doctest::Approx(0.4 * 0.55));
  CHECK(s.rate(10) == doctest::Approx(0.04));
  const CosineSchedule w{.peak = 0.4, .steps = 10, .last_share = 0.1, .warm_up = 4};
  CHECK(w.rate(0) == doctest::Approx(0.004));
  CHECK(w.rate(4) == doctest::Approx(0.4));
  for (planish::index i = 1; i < 4; ++i)
    CHECK(w.rate(i) == doctest::Approx(0.004 + 0.396 * static_cast<double>(i) / 4));
  CHECK(w.rate(7) == doctest::Approx(0.4 * 0.55));
  CHECK(w.rate(10) == doctest::Approx(0.04));
  CHECK(w.rate(13) == doctest::Approx(0.04));
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

TEST_CASE("where the last epoch is more than two percent above the best, the best one is the result") {
  struct Case {
    planish::index batches;
    std::vector<float> losses;  // the last ones after the steps
    std::size_t result;         // after this step
  };
  for (const Case& c :
       {Case{1, {60, 50, 50.9f, 40}, 2},        // within two percent: the last one
        Case{1, {60, 50, 52, 40}, 1},           // the one before the last
        Case{1, {50, 60, 70, 40}, 0},           // the first
        Case{1, {70, 60, 50, 40}, 2},           // the last is the best
        Case{2, {40, 60, 10, 110, 40, 40}, 1},  // an epoch's loss is the mean of its batches
        Case{2, {10, 110, 40, 60, 100, 20, 40, 40}, 3}, Case{3, {60, 60, 60, 70, 70, 70, 40, 40, 40}, 2}}) {
    Told told;
    const auto steps = static_cast<planish::index>(c.losses.size()) - c.batches;
    const auto report = told.run({.epochs = static_cast<int>(steps / c.batches),
                                  .batches = c.batches,
                                  .learning_rate = 0.1,
                                  .loss_before = 1000.0},
                                 c.losses);
    REQUIRE(report.status().ok());
    CHECK(report->attempts == 1);
    CAPTURE(c.losses);
    CHECK(told.a->values[0] == told.after_step[c.result]);
    CHECK(report->loss_after == doctest::Approx(40.0));
    CHECK(static_cast<planish::index>(report->step_losses.size()) == steps);
  }
}

TEST_CASE("without retries a loss above the start's leaves the start") {
  Told larger;
  const auto refused = larger.run({.epochs = 1, .retries = 0}, {8, 8, 9});
  REQUIRE(refused.status().ok());
  CHECK(refused->attempts == 1);
  CHECK(refused->loss_after == refused->loss_before);
  CHECK(larger.a->values[0] == 0.0f);
}

TEST_CASE("after a run that was stopped or diverged no loss is asked for that nobody needs") {
  Told stopped, diverged;
  REQUIRE(stopped.run({.epochs = 5}, {8, 7, 6, 5}, 2).status().ok());
  CHECK(stopped.asked == 3);
  CHECK(diverged.run({.epochs = 5, .retries = 0}, {8, 7, std::nanf(""), 5}).status().code() ==
        planish::ErrorCode::not_finite);
  CHECK(diverged.asked == 3);
}

TEST_CASE("learning refuses what it cannot do, each by itself") {
  const auto code_of = [](const LearnOptions& options) { return Problem().run(options).status().code(); };
  using planish::ErrorCode;
  CHECK(code_of({.epochs = 0}) == ErrorCode::invalid_argument);
  CHECK(code_of({.batches = 0}) == ErrorCode::invalid_argument);
  CHECK(code_of({.evaluated = 0}) == ErrorCode::invalid_argument);
  CHECK(code_of({.learning_rate = 0.0}) == ErrorCode::invalid_argument);
  CHECK(code_of({.learning_rate = std::nan("")}) == ErrorCode::invalid_argument);
  CHECK(code_of({.retries = -1}) == ErrorCode::invalid_argument);
  CHECK(Problem().run({.epochs = 1, .retries = 0}).status().ok());
}
