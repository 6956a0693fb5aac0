#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llama {

/// What a forward pass spends its time on.
enum class Phase : std::uint8_t {
  product,    ///< the blocks' matrix products
  transform,  ///< online transforms and the quantization behind them
  attention,  ///< appending to the caches, and attention
  head,       ///< the output head, its own quantization included
  rest,       ///< norms, RoPE, SwiGLU, the embedding, and what lies between
};
inline constexpr std::size_t phase_count = 5;
inline constexpr std::array<std::string_view, phase_count> phase_names{"products", "transforms", "attention", "head",
                                                                       "rest"};

/// Seconds per phase of everything that ran between `start` and `stop`. What no Timed covers is `rest`.
class PhaseClock {
 public:
  void start() noexcept {
    seconds_ = {};
    phase_ = Phase::rest;
    last_ = Clock::now();
  }
  void stop() noexcept { enter(Phase::rest); }

  /// From now on time belongs to `phase`. Returns the phase before.
  Phase enter(Phase phase) noexcept {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<std::size_t>(phase_)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
    const Phase before = phase_;
    phase_ = phase;
    return before;
  }

  [[nodiscard]] double seconds(Phase phase) const noexcept { return seconds_[static_cast<std::size_t>(phase)]; }
  [[nodiscard]] double total_seconds() const noexcept {
    double total = 0.0;
    for (double part : seconds_) total += part;
    return total;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::array<double, phase_count> seconds_{};
  Clock::time_point last_{};
  Phase phase_ = Phase::rest;
};

/// Counts its lifetime as a phase; without a clock it does nothing.
class Timed {
 public:
  Timed(PhaseClock* clock, Phase phase) noexcept : clock_(clock) {
    if (clock_ != nullptr) before_ = clock_->enter(phase);
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() {
    if (clock_ != nullptr) clock_->enter(before_);
  }

 private:
  PhaseClock* clock_;
  Phase before_ = Phase::rest;
};

}  // namespace llama
