#pragma once
#include <functional>
#include <vector>

#include "block_calibration.hpp"

namespace llama {

/// Learns the transforms and clips of a traced block once more, from the same start and windows but with everything in
/// double precision, and returns the losses of the steps. In float32 a code now and then rounds the other way than in
/// another implementation, and the paths part after it; in double precision two implementations must stay together.
/// `goes_on()` is asked after every step. Throws Error.
[[nodiscard]] std::vector<double> learn_in_float64(const Config& config, const LayerWeights& weights,
                                                   const CalibrationOptions& options, const BlockTrace& trace,
                                                   ExecutorReference executor, const std::function<bool()>& goes_on);

}  // namespace llama
