#include "markup.hpp"

#include <cmath>

namespace llama::page {

std::string escaped(std::string_view text) {
  std::string made;
  for (const char c : text) {
    if (c == '&')
      made += "&amp;";
    else if (c == '<')
      made += "&lt;";
    else if (c == '>')
      made += "&gt;";
    else if (c == '"')
      made += "&quot;";
    else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
      made += '?';
    else
      made += c;
  }
  return made;
}

std::string coordinate(double value) {
  const long long tenths = std::llround(std::fabs(value) * 10.0);
  std::string text = value < 0.0 && tenths != 0 ? "-" : "";
  if (tenths >= 10 || tenths == 0) text += std::to_string(tenths / 10);
  if (tenths % 10 != 0) text += '.' + std::to_string(tenths % 10);
  return text;
}

void Markup::open(std::string_view name, Attributes attributes, std::string_view end) {
  text_ += '<';
  text_ += name;
  for (const auto& [key, value] : attributes) {
    text_ += ' ';
    text_ += key;
    text_ += "=\"" + escaped(value) + '"';
  }
  text_ += end;
}

void Markup::close(std::string_view name) {
  text_ += "</";
  text_ += name;
  text_ += '>';
}

}  // namespace llama::page
