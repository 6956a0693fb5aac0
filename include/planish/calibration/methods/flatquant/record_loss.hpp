#pragma once
#include <planish/calibration/methods/flatquant/options.hpp>
#include <planish/calibration/tape/loss.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// The method's measure of y against a target of the same shape: 1 × 1.
template <class T>
[[nodiscard]] tape::Variable<T> record_loss(const FlatQuant& method, tape::Variable<T> y, MatrixView<const T> target) {
  switch (method.loss) {
    case Loss::mean_absolute_error:
      return tape::mean_absolute_error(y, target);
    case Loss::huber:
      return tape::huber(y, target, method.huber_factor);
    case Loss::mean_squared_error:
      break;
  }
  return tape::mean_squared_error(y, target);
}

}  // namespace planish::inline PLANISH_ABI::calibration
