#pragma once
// The pictures whose content is computed; each writes FOLDER/<name>.svg and says whether it could.
#include <string>

namespace pictures {

bool draw_codes(const std::string& folder);
bool draw_duality(const std::string& folder);
bool draw_outlier(const std::string& folder);

}  // namespace pictures
