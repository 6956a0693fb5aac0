#pragma once
#include <string>

#include "block_calibration.hpp"

namespace llama {

/// Writes a trace and the losses that followed as safetensors: `inputs`, `targets`, `learned.NAME`, the start as
/// FlatQuant's tensors of layer 0, `step_losses`, and those in double precision as `step_losses_float64` where there
/// are any. Throws Error.
void write_trace(const std::string& path, const std::string& job, const BlockTrace& trace,
                 const std::vector<double>& losses, const std::vector<double>& float64_losses);

}  // namespace llama
