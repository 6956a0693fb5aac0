#pragma once
#include <cmath>
#include <list>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/tape/arithmetic.hpp>

#include "guarded_memory.hpp"
#include "weighted_sum.hpp"

namespace gradient_check {

using planish::index;
using planish::MatrixView;
namespace tape = planish::calibration::tape;

using tape_check::weighted_sum;

/// A float64 matrix of random numbers, with room for its gradient.
struct Parameter {
  index rows, columns;
  std::vector<double> values, gradient;

  Parameter(index r, index c, unsigned seed, double mean = 0.0, double deviation = 1.0)
      : rows(r), columns(c), values(static_cast<std::size_t>(r * c)), gradient(values.size()) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(mean, deviation);
    for (double& v : values) v = normal(random);
  }
  [[nodiscard]] MatrixView<double> view() { return {values.data(), rows, columns}; }
  [[nodiscard]] MatrixView<double> gradient_view() { return {gradient.data(), rows, columns}; }
};

/// Checks every element of every parameter's gradient against a central difference: relative to the largest element of
/// that gradient, below 1e-6. `build` records a 1 × 1 loss from the parameters' variables, whose values and gradients
/// lie against memory that nobody may touch.
template <class Build>
void check(std::vector<Parameter*> parameters, Build&& build, double step = 1e-5) {
  std::list<guarded::Buffer<double>> values, gradients;
  std::vector<double*> values_of;
  for (const Parameter* p : parameters) {
    values_of.push_back(values.emplace_back(std::span<const double>(p->values), guarded::Edge::back).data());
    gradients.emplace_back(p->rows * p->columns, guarded::Edge::back);
  }
  tape::Tape<double> t;
  const auto loss = [&] {
    std::vector<tape::Variable<double>> variables;
    auto value = values.begin(), gradient = gradients.begin();
    for (const Parameter* p : parameters)
      variables.push_back(
          t.parameter({(value++)->data(), p->rows, p->columns}, {(gradient++)->data(), p->rows, p->columns}));
    return build(t, variables);
  };
  t.backward(loss());
  t.clear();
  auto made = gradients.begin();
  for (std::size_t which = 0; which < parameters.size(); ++which) {
    Parameter& p = *parameters[which];
    const std::span<const double> gradient = (made++)->span();
    p.gradient.assign(gradient.begin(), gradient.end());
    double largest = 1e-8;
    for (double g : p.gradient) largest = std::max(largest, std::fabs(g));
    for (std::size_t i = 0; i < p.values.size(); ++i) {
      double& element = values_of[which][i];
      const double saved = element;
      const auto at = [&](double value) {
        element = value;
        const double result = loss().value()(0, 0);
        t.clear();
        return result;
      };
      const double difference = (at(saved + step) - at(saved - step)) / (2.0 * step);
      element = saved;
      CAPTURE(which);
      CAPTURE(i);
      CAPTURE(difference);
      CAPTURE(p.gradient[i]);
      CHECK(std::fabs(p.gradient[i] - difference) < 1e-6 * largest);
    }
  }
}

}  // namespace gradient_check
