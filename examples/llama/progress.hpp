#pragma once
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

namespace llama {

/// "calibrating  42 %  512 tokens/s  1:05 left": the state of work after `seconds`.
[[nodiscard]] std::string progress_line(std::string_view label, double done, double total, std::string_view unit,
                                        double seconds);

/// A duration for readers: "0.8 s", "42 s", "3:05", "1:02:09".
[[nodiscard]] std::string duration_text(double seconds);

/// Shows how far long work has got, on a line of stderr: nothing in the first second, then a line that is redrawn on a
/// terminal, or a new one every ten seconds elsewhere. One thread at a time.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  /// `total` in `unit`, for example 4096 "tokens".
  Progress(std::string label, double total, std::string unit, std::FILE* out = stderr);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(double amount) { show(done_ + amount); }
  /// Sets what is done so far.
  void show(double done);
  /// Sets what there is to do, where that has changed.
  void expect(double total) noexcept { total_ = total; }

  [[nodiscard]] double seconds() const;

 private:
  std::string label_;
  double total_;
  std::string unit_;
  std::FILE* out_;
  bool terminal_;
  double done_ = 0.0;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now();
  double next_ = 1.0;  ///< seconds after the start at which something is shown again
};

}  // namespace llama
