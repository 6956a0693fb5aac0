#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llama {

/// What becomes of the matches of a split, and of the text between them.
enum class SplitKeeps : std::uint8_t { all, matches, gaps };

/// One step of cutting text into words: every match of a pattern is a piece, and so is the text between two matches.
/// Later steps cut the pieces of earlier ones, and see nothing beyond them.
struct SplitStep {
  std::string pattern;  ///< as Oniguruma and PCRE2 both read it
  SplitKeeps keeps = SplitKeeps::all;
  friend bool operator==(const SplitStep&, const SplitStep&) = default;
};

/// The steps of the name that a GGUF file has in `tokenizer.ggml.pre`; throws Error for a name that is not known.
[[nodiscard]] std::vector<SplitStep> word_pattern(std::string_view pre);

/// True for the names whose models take a word that is a token as it is, whatever its merges, and expect sequences to
/// start with the beginning-of-sequence token unless the file says otherwise.
[[nodiscard]] bool takes_whole_words(std::string_view pre);

/// GPT-2's pattern, which byte-level pre-tokenizers of Hugging Face files imply.
[[nodiscard]] std::string_view gpt2_pattern();

}  // namespace llama
