#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/calibration/optimizer/adam_rows.hpp>
#include <planish/calibration/optimizer/parameter_set.hpp>

namespace planish::inline PLANISH_ABI::calibration {

template <tape::MustBeReal T>
class AdamW {
 public:
  explicit AdamW(ParameterSet<T>& parameters, const AdamWOptions& options = {})
      : parameters_(&parameters), options_(options) {
    for (const auto& m : parameters.members()) {
      const std::size_t count = m.learns && m.row_rates.empty() ? m.values.size() : 0;
      first_.emplace_back(count);
      second_.emplace_back(count);
      rows_.emplace_back(m.learns && !m.row_rates.empty() ? m.values.size() : 0);
    }
    reached_.resize(first_.size());
  }

  /// Moves every parameter against its gradient; the gradients stay. A matrix that no gradient has reached yet does not
  /// move, not even by decay: the loss says nothing about it.
  void step(double learning_rate, ExecutorReference executor = {}) {
    ++steps_;
    const double correction1 = 1.0 - std::pow(options_.beta1, steps_);
    const double correction2 = 1.0 - std::pow(options_.beta2, steps_);
    std::size_t which = 0;
    for (auto& m : parameters_->members()) {
      if (!m.learns || !m.row_rates.empty()) {
        if (m.learns) rows_[which].step(m, learning_rate, {correction1, correction2}, options_, executor);
        ++which;
        continue;
      }
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
  std::vector<AdamRows<T>> rows_;                    // those of matrices with rates of their rows
  std::vector<char> reached_;                        // by a gradient, by parameter
  int steps_ = 0;
};

}  // namespace planish::inline PLANISH_ABI::calibration
