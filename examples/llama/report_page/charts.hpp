#pragma once
#include "calibration_record.hpp"
#include "markup.hpp"

namespace llama::page {

/// Relative errors of what reads each site, over blocks, in three ways.
void draw_errors(Markup& page, const CalibrationRecord& record);

/// Losses before and after over blocks, and of every step.
void draw_losses(Markup& page, const CalibrationRecord& record);

}  // namespace llama::page
