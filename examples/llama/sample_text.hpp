#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model.hpp"
#include "tokenizer.hpp"

namespace llama {

/// Text without a corpus (data-free, as in LLM-QAT, arXiv 2305.17888): drawn from the FP32 model itself at temperature
/// 1 from its whole distribution, control tokens masked. One half calibrates, the other is scored.
struct SampledText {
  static constexpr index sequences = 8;  ///< of each half
  static constexpr index length = 512;   ///< tokens of a sequence

  std::vector<std::vector<int>> calibration, scoring;
};

/// All sequences of both halves are decoded together, each with a seed of its own.
[[nodiscard]] SampledText sample_text(const Model& model, const Tokenizer& tokenizer, ExecutorReference executor,
                                      const std::function<void(index tokens)>& on_tokens = {});

/// ${XDG_CACHE_HOME:-$HOME/.cache}/planish, where the default model and sampled text are kept.
[[nodiscard]] std::string cache_folder();

/// Where the text sampled from a model is kept.
[[nodiscard]] std::string sampled_text_path(const WeightSource& source);

/// The kept text, or nothing if there is none or it does not fit the model.
[[nodiscard]] std::optional<SampledText> load_sampled_text(const WeightSource& source);

/// Keeps the text for the next run. Failing to is no error: false.
bool store_sampled_text(const WeightSource& source, const SampledText& text);

}  // namespace llama
