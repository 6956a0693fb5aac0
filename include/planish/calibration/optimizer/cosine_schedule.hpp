#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Learning rate of each step: a straight rise over the first steps, then half a cosine down to a last share.
struct CosineSchedule {
  double peak = 1e-2;
  index steps = 1;
  double last_share = 1e-3;     ///< of the peak, after the last step
  index warm_up = 0;            ///< steps of the rise
  double warm_up_share = 1e-2;  ///< of the peak, at the first step of the rise

  [[nodiscard]] double rate(index step) const noexcept {
    if (step < warm_up)
      return peak * (warm_up_share + (1.0 - warm_up_share) * static_cast<double>(step) /
                                         static_cast<double>(std::max<index>(warm_up, 1)));
    const auto span = static_cast<double>(std::max<index>(steps - warm_up, 1));
    const double done = std::min(1.0, static_cast<double>(step - warm_up) / span);
    return peak * (last_share + (1.0 - last_share) * 0.5 * (1.0 + std::cos(std::numbers::pi * done)));
  }
};

}  // namespace planish::inline PLANISH_ABI::calibration
