#pragma once
#include "calibration_record.hpp"
#include "markup.hpp"

namespace llama::page {

/// Losses, magnitudes, errors and clips of every block, a row per site.
void draw_table(Markup& page, const CalibrationRecord& record);

}  // namespace llama::page
