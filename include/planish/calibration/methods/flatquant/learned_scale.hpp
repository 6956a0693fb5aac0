#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include <planish/calibration/methods/flatquant/options.hpp>
#include <planish/calibration/optimizer/parameter_set.hpp>
#include <planish/calibration/tape/arithmetic.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Start of a channel's factor, max|W_j|^(1−α) / max|X_j|^α: SmoothQuant's form with FlatQuant's α = 0.3, magnitudes
/// and factor at least 1e-5 as published.
[[nodiscard]] inline float flatquant_scale(float weight_magnitude, float activation_magnitude, double alpha) {
  constexpr double floor = 1e-5;
  const double w = std::max<double>(weight_magnitude, floor), x = std::max<double>(activation_magnitude, floor);
  return static_cast<float>(std::max(std::pow(w, 1.0 - alpha) / std::pow(x, alpha), floor));
}

/// A row of positive scales that is learned in a chosen form.
template <tape::MustBeReal T>
class LearnedScale {
 public:
  /// `start`: positive values.
  LearnedScale(ParameterSet<T>& parameters, std::string name, std::span<const float> start, ScaleForm form)
      : matrix_(&parameters.add(std::move(name), 1, static_cast<index>(start.size()))), form_(form) {
    std::transform(start.begin(), start.end(), matrix_->values.begin(),
                   [form](float value) { return static_cast<T>(free_number(static_cast<double>(value), form)); });
  }

  /// 1 × n.
  [[nodiscard]] tape::Variable<T> record(tape::Tape<T>& on) {
    const tape::Variable<T> free = matrix_->record(on);
    switch (form_) {
      case ScaleForm::exponential:
        return tape::exponential(free);
      case ScaleForm::softplus:
        return tape::softplus(free);
      case ScaleForm::linear:
        break;
    }
    return free;
  }

 private:
  [[nodiscard]] static double free_number(double value, ScaleForm form) {
    switch (form) {
      case ScaleForm::exponential:
        return std::log(value);
      case ScaleForm::softplus:
        return value + std::log(-std::expm1(-value));
      case ScaleForm::linear:
        break;
    }
    return value;
  }

  LearnedMatrix<T>* matrix_;
  ScaleForm form_;
};

}  // namespace planish::inline PLANISH_ABI::calibration
