#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "../error.hpp"
#include "block_calibration.hpp"

namespace llama {

/// Thrown when the user asked a long calibration to stop; everything finished is kept.
class Interrupted : public Error {
 public:
  using Error::Error;
};

/// A calibration of a whole model, block by block, that can stop and go on.
struct CalibrationJob {
  CalibrationOptions options;
  std::vector<std::vector<int>> windows;  ///< each of options.window ids
  std::string parts;                      ///< folder of finished blocks
  index first_layer = 0, last_layer = 0;  ///< only blocks [first, last) are learned
  std::string trace;                      ///< file for the start and the losses of the first block; empty: none
};

/// `samples` windows of `length` ids: of the text's non-overlapping windows in an order drawn from `seed`, without
/// repetition. Throws Error, naming `name`, if the text has fewer.
[[nodiscard]] std::vector<std::vector<int>> calibration_windows(const std::vector<int>& ids, index samples,
                                                                index length, std::uint64_t seed,
                                                                const std::string& name);

/// One line that names everything that the learned parameters depend on.
[[nodiscard]] std::string job_text(const WeightSource& source, const CalibrationJob& job);

/// Learns the job's blocks that its folder does not hold yet, with progress on stderr; keeps each as soon as it is
/// done. `stop()` is asked after every step; then Interrupted is thrown.
void calibrate(const WeightSource& source, const CalibrationJob& job, ExecutorReference executor,
               const std::function<bool()>& stop);

/// All blocks of a finished job. Throws Error, naming the first that is missing.
[[nodiscard]] std::vector<CalibratedBlock> finished_blocks(const WeightSource& source, const CalibrationJob& job);

}  // namespace llama
