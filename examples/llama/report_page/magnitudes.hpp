#pragma once
#include "calibration_record.hpp"
#include "markup.hpp"

namespace llama::page {

/// Greatest channel over the median channel: 1 is flat.
[[nodiscard]] double peak(const std::vector<float>& channels);

/// Channel magnitudes of every block and site, sorted, before and after flattening; and every channel in its place,
/// block by block.
void draw_magnitudes(Markup& page, const CalibrationRecord& record);
void draw_channels(Markup& page, const CalibrationRecord& record);

/// What people call the input of a site.
[[nodiscard]] std::string title_of(SiteKind kind);

}  // namespace llama::page
