#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "word_patterns.hpp"

namespace llama {

/// Cuts text into the words that byte-level BPE keeps apart, by patterns. Unicode classes come from PCRE2. Copies share
/// the compiled patterns.
class WordSplitter {
 public:
  /// By the name that a GGUF file has in `tokenizer.ggml.pre`. Throws Error for a name it does not know.
  explicit WordSplitter(std::string_view pre) : WordSplitter(word_pattern(pre)) {}

  /// By steps, one after the other; without any, text stays whole. Throws Error for a pattern that PCRE2 refuses or
  /// would read in another way than the libraries that models are trained with.
  explicit WordSplitter(std::span<const SplitStep> steps);

  /// Calls `visit(word)` for consecutive, non-empty words that together are the text, unless a step drops matches or
  /// gaps. A byte that is not UTF-8 is a word of its own.
  void for_each_word(std::string_view text, const std::function<void(std::string_view)>& visit) const;

 private:
  struct Step {
    std::shared_ptr<void> pattern;
    SplitKeeps keeps;
  };
  class Run;

  std::vector<Step> steps_;
};

}  // namespace llama
