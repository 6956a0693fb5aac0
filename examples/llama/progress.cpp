#include "progress.hpp"

#include <algorithm>
#include <cmath>
#include <unistd.h>

#include "table.hpp"

namespace llama {

std::string duration_text(double seconds) {
  if (!(seconds >= 0.0) || seconds > 1e8) return "-";
  if (seconds < 9.95) return fixed(seconds, 1) + " s";
  const auto whole = static_cast<long>(std::lround(seconds));
  if (whole < 100) return std::to_string(whole) + " s";
  const auto two_digits = [](long value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  const long hours = whole / 3600, minutes = whole / 60 % 60;
  return hours > 0 ? std::to_string(hours) + ":" + two_digits(minutes) + ":" + two_digits(whole % 60)
                   : std::to_string(minutes) + ":" + two_digits(whole % 60);
}

std::string progress_line(std::string_view label, double done, double total, std::string_view unit, double seconds) {
  const double share = total > 0.0 ? std::clamp(done / total, 0.0, 1.0) : 0.0;
  const double speed = seconds > 0.0 ? done / seconds : 0.0;
  std::string line(label);
  line += "  " + fixed(std::floor(100.0 * share), 0) + " %";
  if (speed > 0.0) {
    line += "  " + significant(speed, 3) + " " + std::string(unit) + "/s";
    line += "  " + duration_text(std::max(0.0, total - done) / speed) + " left";
  }
  return line;
}

Progress::Progress(std::string label, double total, std::string unit, std::FILE* out)
    : label_(std::move(label)), total_(total), unit_(std::move(unit)), out_(out), terminal_(isatty(fileno(out)) != 0) {}

Progress::~Progress() {
  if (!shown_) return;
  if (terminal_)
    std::fputs("\r\x1b[K", out_);
  else
    std::fprintf(out_, "%s  %s\n", label_.c_str(), duration_text(seconds()).c_str());
  std::fflush(out_);
}

void Progress::show(double done) {
  done_ = done;
  const double now = seconds();
  if (now < next_) return;
  next_ = now + (terminal_ ? 0.1 : 10.0);
  shown_ = true;
  const std::string line = progress_line(label_, done_, total_, unit_, now);
  std::fprintf(out_, terminal_ ? "\r%s\x1b[K" : "%s\n", line.c_str());
  std::fflush(out_);
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

}  // namespace llama
