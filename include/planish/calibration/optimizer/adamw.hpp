#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/calibration/optimizer/parameter_set.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// AdamW (arXiv 1711.05101): Adam with weight decay decoupled from the gradient.
struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;  ///< of every parameter, times its own learning rate
};

template <tape::MustBeReal T>
class AdamW {
 public:
  explicit AdamW(ParameterSet<T>& parameters, const AdamWOptions& options = {})
      : parameters_(&parameters), options_(options) {
    for (const auto& m : parameters.members()) {
      first_.emplace_back(m.values.size());
      second_.emplace_back(m.values.size());
    }
    reached_.resize(first_.size());
  }

  /// Moves every parameter against its gradient; the gradients stay. A matrix that no gradient has reached yet does not
  /// move, not even by decay: the loss says nothing about it.
  void step(double learning_rate) {
    ++steps_;
    const double correction1 = 1.0 - std::pow(options_.beta1, steps_);
    const double correction2 = 1.0 - std::pow(options_.beta2, steps_);
    std::size_t which = 0;
    for (auto& m : parameters_->members()) {
      std::vector<double>&first = first_[which], &second = second_[which];
      reached_[which] =
          reached_[which] || std::any_of(m.gradient.begin(), m.gradient.end(), [](T g) { return g != T{}; });
      if (!reached_[which++]) continue;
      const double rate = learning_rate * m.rate_factor;
      for (std::size_t i = 0; i < m.values.size(); ++i) {
        const auto g = static_cast<double>(m.gradient[i]);
        first[i] = options_.beta1 * first[i] + (1.0 - options_.beta1) * g;
        second[i] = options_.beta2 * second[i] + (1.0 - options_.beta2) * g * g;
        const double move = first[i] / correction1 / (std::sqrt(second[i] / correction2) + options_.epsilon);
        const auto value = static_cast<double>(m.values[i]);
        m.values[i] = static_cast<T>(value - rate * (options_.weight_decay * value + move));
      }
    }
  }

 private:
  ParameterSet<T>* parameters_;
  AdamWOptions options_;
  std::vector<std::vector<double>> first_, second_;  // moments of the gradient, by parameter
  std::vector<char> reached_;                        // by a gradient, by parameter
  int steps_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::calibration
