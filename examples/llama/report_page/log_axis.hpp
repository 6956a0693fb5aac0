#pragma once
#include <string>
#include <vector>

namespace llama::page {

/// A logarithmic axis: values to coordinates, and where ticks go. Values outside are drawn at its ends.
class LogAxis {
 public:
  /// From the least to the greatest value, widened to the nearest ticks; `from` and `to` are where its ends lie.
  /// Values that are not positive do not count.
  LogAxis(double least, double greatest, double from, double to);

  /// The same, but from `least` to `greatest` exactly, with the ticks that lie in between.
  [[nodiscard]] static LogAxis exact(double least, double greatest, double from, double to);

  [[nodiscard]] double at(double value) const;
  [[nodiscard]] const std::vector<double>& ticks() const noexcept { return ticks_; }

  [[nodiscard]] double low() const noexcept { return low_; }
  [[nodiscard]] double high() const noexcept { return high_; }

 private:
  double low_, high_, from_, to_;
  std::vector<double> ticks_;
};

/// About `count` round numbers from 0 on, the last not above `greatest`.
[[nodiscard]] std::vector<double> linear_ticks(double greatest, int count);

/// "0.02", "300", and "2·10⁻⁵" where that is shorter to read.
[[nodiscard]] std::string plain_tick(double value);
/// "0.5 %"
[[nodiscard]] std::string percent_tick(double value);

/// 10 to a whole power with raised digits: "10⁻⁵".
[[nodiscard]] std::string power_of_ten(int exponent);

/// About `count` whole numbers from 0 to `last`, at even distances of 1, 2, 5, 10, ...
[[nodiscard]] std::vector<long long> whole_ticks(long long last, int count);

}  // namespace llama::page
