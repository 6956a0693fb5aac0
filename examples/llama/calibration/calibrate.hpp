#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "../error.hpp"
#include "block_claim.hpp"

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
  std::string command;                    ///< how to call it again, for messages; may be empty
  std::string result;                     ///< artefact in the end; if it is there, nothing is learned again
  JobShare share;                         ///< where this process starts
  bool waits = true;                      ///< until all blocks are there, also those of other processes
  bool spill = false;                     ///< activations go to files of that folder instead of memory
  std::string trace;                      ///< file for the start and the losses of the first block; empty: none
  bool trace_float64 = false;             ///< also the losses of the same in double precision
};

/// `samples` windows of `length` ids: of the text's non-overlapping windows in an order drawn from `seed`, without
/// repetition. Throws Error, naming `name`, if the text has fewer.
[[nodiscard]] std::vector<std::vector<int>> calibration_windows(const std::vector<int>& ids, index samples,
                                                                index length, std::uint64_t seed,
                                                                const std::string& name);

/// One line that names everything that the learned parameters depend on.
[[nodiscard]] std::string job_text(const WeightSource& source, const CalibrationJob& job);

/// What a process did of a job, and the memory that it took for it.
struct CalibrationSummary {
  index learned = 0;             ///< blocks
  std::vector<index> elsewhere;  ///< blocks that other processes still learn
  std::size_t activation_bytes = 0, step_bytes = 0, block_bytes = 0;
};

/// Learns the job's blocks that its folder does not hold yet and that no other process works on, with progress on
/// stderr; keeps each as soon as it is done. `stop()` is asked after every step; then Interrupted is thrown.
CalibrationSummary calibrate(const WeightSource& source, const CalibrationJob& job, ExecutorReference executor,
                             const std::function<bool()>& stop);

/// True if the job's result is there.
[[nodiscard]] bool is_finished(const WeightSource& source, const CalibrationJob& job);

/// Deletes the folder of a finished job, which a process that comes late may have made again; not while another one
/// works there, and not if it holds blocks of another job.
void remove_leftovers(const WeightSource& source, const CalibrationJob& job);

/// A block of a finished job. Throws Error if it is missing.
[[nodiscard]] CalibratedBlock finished_block(const WeightSource& source, const CalibrationJob& job, index layer);

/// All blocks of a finished job. Throws Error, naming the first that is missing.
[[nodiscard]] std::vector<CalibratedBlock> finished_blocks(const WeightSource& source, const CalibrationJob& job);

}  // namespace llama
