#pragma once
// Runs an operation in float and in double, and on several numbers of threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <vector>

#include <planish/calibration/tape/loss.hpp>

#include "gradient_check.hpp"
#include "tape_threads.hpp"

namespace tape_runs {

using gradient_check::Parameter;
using planish::index;
namespace tape = planish::calibration::tape;

template <class T>
struct Run {
  std::vector<T> value;
  std::vector<std::vector<T>> gradients;  // by parameter
};

template <class T>
[[nodiscard]] std::vector<T> elements(planish::MatrixView<const T> m) {
  std::vector<T> all;
  for (index r = 0; r < m.rows(); ++r) all.insert(all.end(), m.row(r), m.row(r) + m.columns());
  return all;
}

/// The value of build(tape, variables) and the gradients of its squared distance from fixed irregular targets. What the
/// tape reads and adds to lies against memory that nobody may touch.
template <class T, class Build>
[[nodiscard]] Run<T> run(const std::vector<Parameter*>& parameters, Build&& build,
                         planish::ExecutorReference executor = {}) {
  tape::Tape<T> t(executor);
  std::list<guarded::Buffer<T>> values, gradients;
  Run<T> result;
  std::vector<tape::Variable<T>> variables;
  for (const Parameter* p : parameters) {
    const index rows = p->rows, columns = p->columns;
    auto &value = values.emplace_back(rows * columns, guarded::Edge::back),
         &gradient = gradients.emplace_back(rows * columns, guarded::Edge::back);
    std::transform(p->values.begin(), p->values.end(), value.data(), [](double v) { return static_cast<T>(v); });
    variables.push_back(t.parameter({value.data(), rows, columns}, {gradient.data(), rows, columns}));
  }
  const tape::Variable<T> y = build(t, variables);
  result.value = elements(y.value());
  const guarded::Buffer<T> targets(y.value().size(), guarded::Edge::back);
  for (std::size_t i = 0; i < result.value.size(); ++i)
    targets.data()[i] = static_cast<T>(std::sin(1.0 + 0.7 * static_cast<double>(i)));
  const planish::MatrixView<const T> target(targets.data(), y.rows(), y.columns());
  t.backward(tape::mean_squared_error(y, target));
  for (const auto& gradient : gradients) {
    const std::span<const T> all = gradient.span();
    result.gradients.emplace_back(all.begin(), all.end());
  }
  return result;
}

template <class T>
[[nodiscard]] double largest_of(const std::vector<T>& values) {
  double largest = 0.0;
  for (T v : values) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  return largest;
}

/// Largest difference, relative to the largest element of `b`, or to `least` if that is larger; infinity beside NaN.
template <class A, class B>
[[nodiscard]] double difference(const std::vector<A>& a, const std::vector<B>& b, double least = 1e-30) {
  const double largest = std::max(least, largest_of(b));
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    most = std::max(most, std::isnan(d) ? std::numeric_limits<double>::infinity() : d);
  }
  return most / largest;
}

/// Float equals double up to `tolerance`, and itself to the bit on 1, 2, 3 and 5 threads.
template <class Build>
void check_float(const std::vector<Parameter*>& parameters, Build&& build, double tolerance = 1e-5) {
  const auto exact = run<double>(parameters, build);
  const auto single = run<float>(parameters, build);
  CHECK(difference(single.value, exact.value) < tolerance);
  double largest = 0.0;
  for (const auto& gradient : exact.gradients) largest = std::max(largest, largest_of(gradient));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    CAPTURE(i);
    CHECK(difference(single.gradients[i], exact.gradients[i], 1e-3 * largest) < tolerance);  // one may vanish
  }
  for (int workers : {1, 2, 3, 5}) {
    ThreadPerWorker threads{workers};
    const auto again = run<float>(parameters, build, threads);
    CAPTURE(workers);
    CHECK(again.value == single.value);
    CHECK(again.gradients == single.gradients);
  }
}

}  // namespace tape_runs
