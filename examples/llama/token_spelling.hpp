#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace llama {

/// The bytes that a token of a byte-level vocabulary spells, or nothing if it does not use that spelling.
[[nodiscard]] std::optional<std::string> spelled_bytes(std::string_view token);

/// The byte of a token that reads <0x0A>.
[[nodiscard]] std::optional<unsigned char> byte_of(std::string_view token);

/// SentencePiece writes a space as U+2581, and takes the character itself for one.
inline constexpr std::string_view space_mark = "\u2581";
[[nodiscard]] std::string with_spaces(std::string_view token);

/// Length in bytes of the UTF-8 character that starts here; 1 for bytes that start none.
[[nodiscard]] std::size_t character_length(std::string_view text);

}  // namespace llama
