#pragma once
#include <span>
#include <vector>

#include "model.hpp"

namespace llama {

/// Sequences that one model continues together, on the CPU or where the model runs. Rows of several sequences run
/// through the blocks as one batch; each sequence has its own caches.
class Session {
 public:
  /// Room for `sequences` sequences of at most `capacity` tokens. The model must outlive the session.
  Session(const Model& model, index sequences, index capacity, ExecutorReference executor = {});

  [[nodiscard]] const Model& model() const noexcept { return *model_; }
  [[nodiscard]] index capacity() const noexcept { return capacity_; }

  /// Tokens that a sequence holds.
  [[nodiscard]] index tokens(index sequence) const noexcept { return tokens_[static_cast<std::size_t>(sequence)]; }

  /// Appends ids: the first segments.front().rows of them to its sequence, and so on; a sequence appears at most once.
  /// Returns the last normalised hidden states, ids × hidden size, valid until the next call.
  MatrixView<const float> forward(std::span<const Segment> segments, std::span<const int> ids);

  /// The same for the only or the first sequence.
  MatrixView<const float> forward(std::span<const int> ids) {
    const Segment whole{0, static_cast<index>(ids.size())};
    return forward({&whole, 1}, ids);
  }

  /// Logits of hidden states, rows × vocabulary, valid until the next call.
  MatrixView<const float> logits(MatrixView<const float> hidden);

  /// Counts the time of what follows by phases; null: no longer.
  void time_with(PhaseClock* clock) noexcept { clock_ = clock; }

  /// Forgets all tokens of a sequence from `tokens` on.
  void truncate(index sequence, index tokens);

 private:
  const Model* model_;
  index capacity_;
  ExecutorReference executor_;
  Rope rope_;
  std::vector<std::vector<planish::KvCache>> caches_;  // [layer][sequence]
  std::vector<index> tokens_;                          // by sequence
  PhaseClock* clock_ = nullptr;
  BlockScratch scratch_;
  FloatRows hidden_, normed_, logits_;
  std::unique_ptr<DeviceSession> device_;  // where the model runs on one: it has the caches and does the work
};

}  // namespace llama
