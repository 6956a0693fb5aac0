#pragma once
#include <algorithm>
#include <cmath>
#include <list>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/tape/tape.hpp>

#include "guarded_memory.hpp"
#include "tape_threads.hpp"
#include "weighted_sum.hpp"

/// An operation in float against itself in float64, and against itself on other numbers of threads.
namespace tape_check {

using planish::index;
using planish::MatrixView;
namespace tape = planish::calibration::tape;

struct Shape {
  index rows, columns;
};

/// A parameter as read by the tape; numbers that float holds exactly.
template <class T>
struct Leaf {
  Shape shape;
  std::vector<T> values, gradient;

  Leaf(Shape s, unsigned seed)
      : shape(s), values(static_cast<std::size_t>(s.rows * s.columns)), gradient(values.size(), T(0.25)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (T& v : values) v = static_cast<T>(normal(random));
  }
};

/// The values that `build` makes of leaves of these shapes, then the gradients of their weighted sum: two steps on one
/// tape, so that borrowed memory is full of old numbers in the second. Gradients add to what the leaves start with.
/// Values and gradients of leaves lie against memory that nobody may touch.
template <class T, class Build>
[[nodiscard]] std::vector<std::vector<T>> values_and_gradients(int workers, const std::vector<Shape>& shapes,
                                                               const Build& build) {
  ThreadPerWorker pool{workers};
  tape::Tape<T> t(pool);
  std::vector<std::vector<T>> results;
  std::size_t memory = 0;
  for (int step = 0; step < 2; ++step) {
    results.assign(1, {});
    std::list<guarded::Buffer<T>> values, gradients;
    std::vector<tape::Variable<T>> variables;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Leaf<T> leaf(shapes[i], static_cast<unsigned>(i + 1));
      const index rows = shapes[i].rows, columns = shapes[i].columns;
      const auto &value = values.emplace_back(std::span<const T>(leaf.values), guarded::Edge::back),
                 &gradient = gradients.emplace_back(std::span<const T>(leaf.gradient), guarded::Edge::back);
      variables.push_back(t.parameter({value.data(), rows, columns}, {gradient.data(), rows, columns}));
    }
    const auto y = build(variables);
    const auto made = y.value();
    for (index r = 0; r < made.rows(); ++r)
      results[0].insert(results[0].end(), made.row(r), made.row(r) + made.columns());
    t.backward(weighted_sum(y));
    for (const auto& gradient : gradients) {
      const std::span<const T> all = gradient.span();
      results.emplace_back(all.begin(), all.end());
    }
    t.clear();
    if (step == 0) memory = t.memory_bytes();
  }
  CHECK(t.memory_bytes() == memory);
  return results;
}

/// `build` is called with variables of float and of double. Every value and gradient in float lies within `tolerance`
/// of the one in float64, relative to the largest, and has the same bits on 1, 2, 3 and 5 workers.
template <class Build>
void check_float(const std::vector<Shape>& shapes, const Build& build, double tolerance = 1e-5) {
  const auto single = values_and_gradients<float>(1, shapes, build);
  const auto exact = values_and_gradients<double>(1, shapes, build);
  for (std::size_t m = 0; m < exact.size(); ++m) {
    double largest = 1e-30, difference = 0.0;
    REQUIRE(single[m].size() == exact[m].size());
    for (std::size_t i = 0; i < exact[m].size(); ++i) {
      largest = std::max(largest, std::fabs(exact[m][i]));
      difference = std::max(difference, std::fabs(exact[m][i] - static_cast<double>(single[m][i])));
    }
    CAPTURE(m);
    CHECK(difference <= tolerance * largest);
  }
  for (int workers : {2, 3, 5}) {
    CAPTURE(workers);
    CHECK(values_and_gradients<float>(workers, shapes, build) == single);
  }
}

}  // namespace tape_check
