#include "log_axis.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace llama::page {
namespace {

/// Multiples of powers of ten that ticks may lie at, from coarse to fine.
const std::vector<std::vector<double>> steps{
    {1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}};

std::string significant_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

/// All ticks of a kind, from the last one at or below `least` to the first one at or above `greatest`.
std::vector<double> ticks_of(const std::vector<double>& multiples, double least, double greatest) {
  std::vector<double> all;
  const int first = static_cast<int>(std::floor(std::log10(least))) - 1;
  const int last = static_cast<int>(std::ceil(std::log10(greatest))) + 1;
  for (int exponent = first; exponent <= last; ++exponent)
    for (const double m : multiples) all.push_back(m * std::pow(10.0, exponent));
  constexpr double slack = 1e-6;
  while (all.size() > 2 && all[1] <= least * (1 + slack)) all.erase(all.begin());
  while (all.size() > 2 && all[all.size() - 2] >= greatest * (1 - slack)) all.pop_back();
  return all;
}

}  // namespace

LogAxis::LogAxis(double least, double greatest, double from, double to) : from_(from), to_(to) {
  if (!(greatest > 0.0) || !std::isfinite(greatest)) greatest = 1.0;
  if (!(least > 0.0) || least > greatest) least = greatest / 10.0;
  constexpr std::size_t most_ticks = 7;  // the finest that do not crowd the axis leave the least room empty
  for (const auto& multiples : steps) {
    std::vector<double> finer = ticks_of(multiples, least, greatest);
    if (!ticks_.empty() && finer.size() > most_ticks) break;
    ticks_ = std::move(finer);
  }
  low_ = ticks_.front();
  high_ = ticks_.back();
  const std::size_t stride = (ticks_.size() - 1) / most_ticks + 1;
  for (std::size_t i = 0; stride > 1 && i < ticks_.size(); ++i)
    if (i % stride == 0) ticks_[i / stride] = ticks_[i];
  if (stride > 1) ticks_.resize((ticks_.size() - 1) / stride + 1);
}

LogAxis LogAxis::exact(double least, double greatest, double from, double to) {
  LogAxis axis(least, greatest, from, to);
  axis.low_ = least;
  axis.high_ = greatest;
  axis.ticks_.clear();
  for (const auto& multiples : {steps[1], steps[0]}) {
    if (!axis.ticks_.empty() && axis.ticks_.size() <= 4) break;
    axis.ticks_.clear();
    for (const double tick : ticks_of(multiples, least, greatest))
      if (tick >= least * (1 - 1e-6) && tick <= greatest * (1 + 1e-6)) axis.ticks_.push_back(tick);
  }
  return axis;
}

double LogAxis::at(double value) const {
  const double within = std::clamp(value, low_, high_);
  return from_ + (to_ - from_) * std::log(within / low_) / std::log(high_ / low_);
}

std::string power_of_ten(int exponent) {
  static const char* const raised[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string text = exponent < 0 ? "10⁻" : "10";
  for (const char digit : std::to_string(std::abs(exponent))) text += raised[digit - '0'];
  return text;
}

std::string plain_tick(double value) {
  if (!(value > 0.0)) return "0";
  if (value >= 0.001 && value < 9999.5) return significant_text(value);
  const int exponent = static_cast<int>(std::floor(std::log10(value) + 1e-9));
  const std::string mantissa = significant_text(value / std::pow(10.0, exponent));
  return (mantissa == "1" ? "" : mantissa + "·") + power_of_ten(exponent);
}

std::string percent_tick(double value) { return plain_tick(100.0 * value) + " %"; }

std::vector<double> linear_ticks(double greatest, int count) {
  const double power = std::pow(10.0, std::floor(std::log10(greatest / count)));
  double step = power;
  for (const double m : {2.0, 5.0, 10.0})
    if (greatest / step > count) step = m * power;
  std::vector<double> ticks;
  for (double tick = 0.0; tick <= greatest * (1 + 1e-9); tick += step) ticks.push_back(tick);
  return ticks;
}

std::vector<long long> whole_ticks(long long last, int count) {
  long long step = 1;
  for (long long power = 1;; power *= 10) {
    for (const long long m : {1, 2, 5})
      if (last / (step = m * power) <= count) {
        std::vector<long long> ticks;
        for (long long tick = 0; tick <= last; tick += step) ticks.push_back(tick);
        return ticks;
      }
  }
}

}  // namespace llama::page
