#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sample_text.hpp"

namespace llama {

// Text to learn from, drawn like SampledText but with seeds of its own and in any amount: sequence k is always the
// same, however many are asked for, and a shorter one is the beginning of a longer one.

/// The first `count` sequences of `length` tokens. Decoded side by side, as many at a time as keep the caches small.
[[nodiscard]] std::vector<std::vector<int>> sample_sequences(const Model& model, const Tokenizer& tokenizer,
                                                             index count, index length, ExecutorReference executor,
                                                             const std::function<void(index tokens)>& on_tokens = {});

/// Where so many sequences of a model are kept: sampled-MODEL-w8a8-COUNTxLENGTH.ids in the cache folder.
[[nodiscard]] std::string sampled_sequences_path(const WeightSource& source, index count, index length);

/// The first `count` sequences from any kept file that holds as many of at least that length, or nothing.
[[nodiscard]] std::optional<std::vector<std::vector<int>>> load_sampled_sequences(const WeightSource& source,
                                                                                  index count, index length);

/// Keeps sequences of one length for the next run. Failing to is no error: false.
bool store_sampled_sequences(const WeightSource& source, const std::vector<std::vector<int>>& sequences);

}  // namespace llama
