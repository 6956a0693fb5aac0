#include "token_spelling.hpp"

#include <algorithm>
#include <array>

namespace llama {
namespace {

/// GPT-2 spells each byte as a printable character: those that are printable in Latin-1 as themselves, the others as
/// U+0100, U+0101 and so on. Returns the byte by character; -1 where there is none.
std::array<int, 512> byte_by_character() {
  std::array<int, 512> bytes;
  bytes.fill(-1);
  std::size_t further = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[printable ? static_cast<std::size_t>(byte) : further++] = byte;
  }
  return bytes;
}

}  // namespace

std::optional<std::string> spelled_bytes(std::string_view token) {
  static const std::array<int, 512> bytes = byte_by_character();
  std::string result;
  for (std::size_t i = 0; i < token.size(); ++i) {
    auto character = static_cast<unsigned char>(token[i]);
    std::size_t code = character;
    if (character >= 0x80) {  // two bytes of UTF-8 reach every character of the spelling
      if ((character & 0xe0) != 0xc0 || ++i == token.size()) return std::nullopt;
      code = static_cast<std::size_t>(character & 0x1f) << 6 | (static_cast<unsigned char>(token[i]) & 0x3f);
    }
    if (code >= bytes.size() || bytes[code] < 0) return std::nullopt;
    result += static_cast<char>(bytes[code]);
  }
  return result;
}

std::optional<unsigned char> byte_of(std::string_view token) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return std::nullopt;
  if (digit(token[3]) < 0 || digit(token[4]) < 0) return std::nullopt;
  return static_cast<unsigned char>(digit(token[3]) * 16 + digit(token[4]));
}

std::string with_spaces(std::string_view token) {
  std::string text(token);
  for (std::size_t at = 0; (at = text.find(space_mark, at)) != std::string::npos; ++at)
    text.replace(at, space_mark.size(), 1, ' ');
  return text;
}

std::size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return std::min(length, text.size());
}

}  // namespace llama
