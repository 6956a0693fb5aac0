#pragma once
#include <memory>
#include <string_view>

namespace llama {

/// Cuts text into the words that byte-level BPE keeps apart, by the pattern that a model names (`tokenizer.ggml.pre`).
/// Unicode classes come from PCRE2. Copies share the compiled pattern.
class WordSplitter {
 public:
  /// Throws Error for a name it does not know.
  explicit WordSplitter(std::string_view pre);

  /// Calls `visit(word)` for consecutive, non-empty words that together are the text. A byte that is not UTF-8 is a
  /// word of its own.
  template <class Visit>
  void for_each_word(std::string_view text, Visit&& visit) const {
    Cursor cursor(*this, text);
    while (!cursor.at_end()) visit(cursor.next());
  }

 private:
  /// How far splitting has got, and the scratch of the matcher.
  class Cursor {
   public:
    Cursor(const WordSplitter& splitter, std::string_view text);
    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
    [[nodiscard]] std::string_view next();

   private:
    const WordSplitter& splitter_;
    std::string_view rest_;    ///< what is still to be cut
    std::size_t checked_ = 0;  ///< that many bytes of it are known to be UTF-8
    std::shared_ptr<void> match_;
  };

  std::shared_ptr<void> pattern_;
};

}  // namespace llama
