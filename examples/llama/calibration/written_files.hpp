#pragma once
#include <string>
#include <string_view>

#include "calibrate.hpp"

namespace llama {

/// Under this key, artefacts and files of parameters say which job made them: its job_text.
inline constexpr std::string_view calibration_key = "calibration";

/// True if everything that a job writes is there already: the artefact `out`, whole, of the format that is written
/// today and made by this very job, and so the parameters and the trace, where they are asked for (not empty).
[[nodiscard]] bool is_written(const WeightSource& source, const CalibrationJob& job, const std::string& out,
                              const std::string& parameters);

/// What an artefact or a file of parameters says of the calibration that made it; empty if it says nothing, or cannot
/// be read.
[[nodiscard]] std::string calibration_of(const std::string& path);

}  // namespace llama
