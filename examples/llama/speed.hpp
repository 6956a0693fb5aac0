#pragma once
#include <bench/support/ceilings.hpp>
#include <vector>

#include "phase_clock.hpp"
#include "session.hpp"

namespace llama {

/// What to time: prompts of `prefill` tokens and texts of `decode` tokens one by one, behind `depth` cached tokens.
struct SpeedOptions {
  index prefill = 512, decode = 128;
  std::vector<index> depths{0};
  index repeats = 5;  ///< of which the median counts
  std::uint64_t seed = 1;
};

/// One phase of one model at one depth. `ceiling` is the speed that the machine's limit allows: for a prompt, the
/// integer operations of the linear layers at the rate of 8-bit dot products in registers; for decoding, the bytes of
/// blocks and head at the rate of streamed memory.
struct Speed {
  bool decode = false;
  index tokens = 0, depth = 0;
  double tokens_per_s = 0.0, ceiling = 0.0;
  std::array<double, phase_count> shares{};  ///< of the time, by Phase

  [[nodiscard]] double share_of_ceiling() const noexcept { return tokens_per_s / ceiling; }
};

/// Prefill, then decode, at each depth. Tokens are drawn at random from the vocabulary. Throws Error where a depth and
/// its tokens exceed the model's context.
[[nodiscard]] std::vector<Speed> measure_speed(const Model& model, const SpeedOptions& options,
                                               const bench::Ceilings& ceilings, ExecutorReference executor);

/// Multiply-adds of the blocks' linear layers for one token.
[[nodiscard]] double multiply_adds_per_token(const Model& model);

}  // namespace llama
