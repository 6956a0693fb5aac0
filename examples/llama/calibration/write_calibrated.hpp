#pragma once
#include <string>

#include "../host.hpp"
#include "calibrate.hpp"

namespace llama {

/// Quantizes the model with what a finished job has learned and writes the artefact, and, if `parameters` is not empty,
/// transforms and clips alone; then deletes the job's folder. Prints what came of it.
void write_calibrated(Host& host, const CalibrationJob& job, const std::string& out, const std::string& parameters);

}  // namespace llama
