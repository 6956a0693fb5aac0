#pragma once
#include <optional>
#include <string>
#include <vector>

#include "config.hpp"

namespace llama {

/// Sequences of token ids as text: one line per sequence, ids apart by spaces.
[[nodiscard]] std::string to_id_lines(const std::vector<std::vector<int>>& sequences);

/// The first `count` lines of a file, each of exactly `length` ids below `vocabulary`; nothing if the file is not
/// there or one of those lines is anything else.
[[nodiscard]] std::optional<std::vector<std::vector<int>>> read_id_lines(const std::string& path, index count,
                                                                         index length, index vocabulary);

}  // namespace llama
