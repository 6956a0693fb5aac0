#pragma once
#include <string>
#include <utility>
#include <vector>

#include "calibrate.hpp"

namespace llama {

/// A job in plain words, for people: what is said of it, and what it is. An artefact keeps them as the JSON object
/// `calibration.method`; a report shows them in this order.
using MethodWords = std::vector<std::pair<std::string, std::string>>;

[[nodiscard]] MethodWords describe_method(const CalibrationJob& job);

/// The words as a JSON object, and back; throws Error, naming `path`, if they are none.
[[nodiscard]] std::string method_json(const MethodWords& words);
[[nodiscard]] MethodWords read_method(const std::string& json, const std::string& path);

}  // namespace llama
