#pragma once
#include <string>

#include "../host.hpp"
#include "calibrate.hpp"
#include "merge_parts.hpp"

namespace llama {

/// Throws Error: a file of transforms and clips does not give a model whose weights were learned.
[[noreturn]] void refuse_parameters_alone(const std::string& path);

/// Quantizes the model with learned blocks, one after the other by `layers`, and writes the artefact, and, if
/// `parameters` is not empty, transforms and clips alone, which is refused where weights were learned. Prints what came
/// of it.
void write_blocks(Host& host, const MergedJob& job, CalibratedLayers& layers, const std::string& out,
                  const std::string& parameters);

/// The same with what a finished job has learned; then deletes the job's folder.
void write_calibrated(Host& host, const CalibrationJob& job, const std::string& out, const std::string& parameters);

}  // namespace llama
