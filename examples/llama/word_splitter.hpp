#pragma once
#include <cstddef>
#include <memory>
#include <string_view>

namespace llama {

/// Cuts text into the words that byte-level BPE keeps apart, by the pattern that a model names (`tokenizer.ggml.pre`).
/// Unicode classes come from PCRE2.
class WordSplitter {
 public:
  /// Throws Error for a name it does not know.
  explicit WordSplitter(std::string_view pre);

  /// Calls `visit(word)` for consecutive, non-empty words that together are the text.
  template <class Visit>
  void for_each_word(std::string_view text, Visit&& visit) const {
    Cursor cursor(*this, text);
    for (std::string_view word = cursor.next(); !word.empty(); word = cursor.next()) visit(word);
  }

 private:
  /// Where splitting has got to, and the scratch of the matcher.
  class Cursor {
   public:
    Cursor(const WordSplitter& splitter, std::string_view text);
    [[nodiscard]] std::string_view next();

   private:
    [[nodiscard]] std::string_view match();

    const WordSplitter& splitter_;
    std::string_view text_;
    std::size_t position_ = 0;
    std::size_t valid_until_ = 0;  ///< text before this is known to be UTF-8
    std::shared_ptr<void> match_data_;
  };

  std::shared_ptr<const void> pattern_;  ///< compiled, immutable
};

}  // namespace llama
