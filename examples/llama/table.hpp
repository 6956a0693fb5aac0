#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace llama {

enum class Align : std::uint8_t { left, right };

/// Title and, below it, the unit of a table's column. Numbers are right-aligned.
struct Column {
  std::string title;
  std::string unit = {};
  Align align = Align::right;
};

/// A plain-text table with aligned columns.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Short rows are filled with empty cells; further cells are a mistake, and asserted.
  void add_row(std::vector<std::string> cells);

  /// Title, units, a rule, rows; each line ends with a newline and has no trailing spaces.
  [[nodiscard]] std::string to_string() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// A number with `digits` decimals, or "-" if it is not finite.
[[nodiscard]] std::string fixed(double value, int digits);

/// A number with about `digits` significant digits and no exponent: 11609, 113.7, 0.0320; "-" if it is not finite.
[[nodiscard]] std::string significant(double value, int digits);

/// Bytes as MiB with one decimal.
[[nodiscard]] std::string mebibytes(double bytes);

}  // namespace llama
