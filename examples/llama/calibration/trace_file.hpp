#pragma once
#include <string>

#include "block_calibration.hpp"

namespace llama {

/// Writes a trace and the losses that followed as safetensors: `inputs`, `targets`, `learned.NAME`, the start as
/// FlatQuant's tensors of layer 0, and `step_losses`. Throws Error.
void write_trace(const std::string& path, const std::string& job, const BlockTrace& trace,
                 const planish::calibration::LearnReport& report);

}  // namespace llama
