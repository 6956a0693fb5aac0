#pragma once
#include <functional>
#include <string>
#include <vector>

#include "block_calibration.hpp"

namespace llama {

/// A whole job, put together from its finished blocks.
struct MergedJob {
  std::string text;  ///< the job_text that all parts agree on
  Recipe recipe;
  std::string method;                                 ///< the JSON of describe_method
  std::function<CalibratedBlock(index layer)> block;  ///< read when it is asked for: weights may have learned
};

/// Reads every block of the model from the folders, the first that has it; what else is to know, the parts say
/// themselves. Throws Error: blocks that are in no folder (with the command that learns them, for the artefact `out`),
/// parts of different jobs or of another model, damaged parts, a recipe whose rounding reads the text.
[[nodiscard]] MergedJob merge_parts(const WeightSource& source, const std::vector<std::string>& folders,
                                    const std::string& out);

}  // namespace llama
