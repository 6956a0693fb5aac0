#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "scoring.hpp"
#include "session.hpp"
#include "text_source.hpp"

namespace llama {

/// The last normalised hidden states of a model over the windows of a text: its logits in 1/85th of the memory, because
/// the head can be applied again whenever they are needed.
struct HiddenStates {
  std::shared_ptr<const Head> head;
  std::vector<float> rows;  // windows × (length − 1) × hidden size
};

/// How a text is fed to the model.
struct FeedOptions {
  bool decode = false;                     ///< one token at a time instead of whole windows
  std::optional<std::uint64_t> cuts = {};  ///< seed: windows are cut into pieces of random length
};

/// What scoring told.
struct Evaluation {
  TextScore score;
  double forward_seconds = 0.0;  ///< in the blocks, the head not counted
  index tokens = 0;              ///< that went through the blocks

  [[nodiscard]] double tokens_per_second() const { return static_cast<double>(tokens) / forward_seconds; }
};

/// Scores every prediction inside each window. `reference` (may be null) adds KL divergence and agreement; `keep` (may
/// be null) takes this model's hidden states. `on_tokens(count)` reports progress.
[[nodiscard]] Evaluation evaluate(const Model& model, const Windows& windows, const FeedOptions& feed,
                                  const HiddenStates* reference, HiddenStates* keep, ExecutorReference executor,
                                  const std::function<void(index)>& on_tokens = {});

/// Tokens per second of a single sequence, one token at a time, head included: after a prompt of `prompt.size()`
/// tokens, for about `seconds`.
[[nodiscard]] double measure_decode(const Model& model, std::span<const int> prompt, double seconds,
                                    ExecutorReference executor);

}  // namespace llama
