#pragma once
#include "../json_output.hpp"
#include "calibration_record.hpp"

namespace llama {

/// The figures of the report. Channels stay in the artefact, as tensors `layers.i.calibration.SITE.channels`; of each
/// only its greatest magnitude and that over the median are here.
[[nodiscard]] Json to_json(const CalibrationRecord& record);

}  // namespace llama
