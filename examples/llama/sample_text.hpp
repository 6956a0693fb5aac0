#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
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

/// One sequence of `length` tokens per seed, all decoded together. Each depends on its own seed alone: neither on what
/// else is drawn nor, up to where it ends, on the length.
[[nodiscard]] std::vector<std::vector<int>> draw_sequences(const Model& model, const Tokenizer& tokenizer,
                                                           std::span<const std::uint64_t> seeds, index length,
                                                           ExecutorReference executor,
                                                           const std::function<void(index tokens)>& on_tokens = {});

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

/// Writes a file of the cache folder, which it makes where it is missing. Failing to is no error: false.
bool keep_in_cache(const std::string& path, const std::string& content);

}  // namespace llama
