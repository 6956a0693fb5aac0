#pragma once
#include <cstddef>
#include <string_view>

namespace llama {

/// Bytes of white space (the Unicode property White_Space) that a text starts with.
[[nodiscard]] std::size_t leading_space(std::string_view text);

/// Bytes of white space that a text ends with.
[[nodiscard]] std::size_t trailing_space(std::string_view text);

}  // namespace llama
