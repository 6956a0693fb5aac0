#pragma once
// The lexical half of JSON (RFC 8259): strings and numbers as they are spelled.
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <planish/core/abi.hpp>
#include <planish/io/utf8.hpp>

namespace planish::inline PLANISH_ABI::io {

/// Appends a string as JSON, quotes included. The text must be UTF-8.
inline void append_json_string(std::string& out, std::string_view text) {
  constexpr const char* digits = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

/// Takes four hexadecimal digits off the front; false if there are none.
[[nodiscard]] inline bool take_hexadecimal(std::string_view& text, std::uint32_t& value) noexcept {
  value = 0;
  if (text.size() < 4) return false;
  const auto parsed = std::from_chars(text.data(), text.data() + 4, value, 16);
  if (parsed.ptr != text.data() + 4 || parsed.ec != std::errc()) return false;
  text.remove_prefix(4);
  return true;
}

/// Takes an escape (from its backslash on) off the front and appends what it stands for, joining surrogate pairs.
/// Returns what is wrong with it, or nullptr.
[[nodiscard]] inline const char* take_json_escape(std::string_view& text, std::string& out) {
  constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  if (text.size() < 2) return "string without an end";
  const char letter = text[1];
  text.remove_prefix(2);
  if (const std::size_t i = letters.find(letter); i != letters.npos) {
    out += meanings[i];
    return nullptr;
  }
  if (letter != 'u') return "unknown escape in a string";
  std::uint32_t point = 0, low = 0;
  if (!take_hexadecimal(text, point)) return "\\u needs four hexadecimal digits";
  if (point >= 0xd800 && point < 0xe000) {
    if (point >= 0xdc00) return "second half of a surrogate pair without the first";
    constexpr const char* missing = "first half of a surrogate pair without the second";
    if (text.substr(0, 2) != "\\u") return missing;
    text.remove_prefix(2);
    if (!take_hexadecimal(text, low) || low < 0xdc00 || low >= 0xe000) return missing;
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(out, point);
  return nullptr;
}

/// Characters of the number at the start of `text`; 0 if there is none by the grammar.
[[nodiscard]] inline std::size_t json_number_length(std::string_view text) noexcept {
  const auto digit = [text](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  const auto is = [text](std::size_t i, char c) { return i < text.size() && text[i] == c; };
  std::size_t end = is(0, '-') ? 1 : 0;
  if (!digit(end) || (is(end, '0') && digit(end + 1))) return 0;
  while (digit(end)) ++end;
  if (is(end, '.')) {
    if (!digit(++end)) return 0;
    while (digit(end)) ++end;
  }
  if (is(end, 'e') || is(end, 'E')) {
    ++end;
    if (is(end, '+') || is(end, '-')) ++end;
    if (!digit(end)) return 0;
    while (digit(end)) ++end;
  }
  return end;
}

}  // namespace planish::inline PLANISH_ABI::io
