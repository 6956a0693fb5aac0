#include "table.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace llama {
namespace {

/// Characters, not bytes: every byte of UTF-8 counts except those that continue a character.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  assert(cells.size() <= columns_.size());
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::to_string() const {
  constexpr std::string_view gap = "  ";
  std::vector<std::size_t> widths;
  bool has_units = false;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = std::max(width_of(columns_[c].title), width_of(columns_[c].unit));
    for (const auto& row : rows_) width = std::max(width, width_of(row[c]));
    widths.push_back(width);
    has_units = has_units || !columns_[c].unit.empty();
  }

  std::string text;
  const auto add_line = [&](auto&& cell) {
    std::string line;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string& content = cell(c);
      const std::string padding(widths[c] - width_of(content), ' ');
      line += c == 0 ? "" : gap;
      line += columns_[c].align == Align::left ? content + padding : padding + content;
    }
    text += trimmed(line) + '\n';
  };
  add_line([&](std::size_t c) -> const std::string& { return columns_[c].title; });
  if (has_units) add_line([&](std::size_t c) -> const std::string& { return columns_[c].unit; });
  std::size_t total = 0;
  for (std::size_t c = 0; c < widths.size(); ++c) total += widths[c] + (c == 0 ? 0 : gap.size());
  text += std::string(total, '-') + '\n';
  for (const auto& row : rows_) add_line([&](std::size_t c) -> const std::string& { return row[c]; });
  return text;
}

std::string fixed(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return "-";
  if (value == 0.0) return "0";
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
  return fixed(value, std::clamp(digits - 1 - magnitude, 0, 9));
}

std::string mebibytes(double bytes) { return fixed(bytes / (1024.0 * 1024.0), 1); }

}  // namespace llama
