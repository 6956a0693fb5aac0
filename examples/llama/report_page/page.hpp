#pragma once
#include <string>

#include "calibration_record.hpp"

namespace llama {

/// One HTML page about a calibration that needs nothing else: inline SVG and style, no script, no network.
[[nodiscard]] std::string report_page(const CalibrationRecord& record);

}  // namespace llama
