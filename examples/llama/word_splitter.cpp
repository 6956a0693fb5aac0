#include "word_splitter.hpp"

#include <algorithm>
#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "error.hpp"

namespace llama {
namespace {

/// Patterns are written with [\s]; this is what stands in the class. PCRE2's own \s also takes U+180E, which is no
/// white space to the libraries that models are trained with.
constexpr std::string_view white_space = R"(\p{Z}\x{09}-\x{0D}\x{85})";

struct NamedPattern {
  std::string_view pre, pattern;
};

// A run of white space before a word leaves its last character to the word (" word"), hence the [\s]+ that looks ahead.
constexpr NamedPattern patterns[] = {
    // https://github.com/openai/gpt-2, src/encoder.py
    {"gpt-2", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|[\s]+(?![^\s])|[\s]+)"},
    // Numbers are cut out digit by digit first, then the pattern of GPT-2 runs on each piece in between. In one
    // pattern:
    // no word holds a digit, and to white space a digit is the end of the text.
    {"smollm", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[\s]+(?![^\s\p{N}])|[\s]+)"},
    // https://github.com/meta-llama/llama3, llama/tokenizer.py
    {"llama-bpe", R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
                  R"(|[\s]*[\r\n]+|[\s]+(?![^\s])|[\s]+)"},
};

std::string with_white_space(std::string_view pattern) {
  std::string text(pattern);
  for (std::size_t at = 0; (at = text.find(R"(\s)", at)) != std::string::npos; at += white_space.size())
    text.replace(at, 2, white_space);
  return text;
}

std::string known_names() {
  std::string names;
  for (const NamedPattern& known : patterns) names += (names.empty() ? "" : ", ") + std::string(known.pre);
  return names;
}

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }
pcre2_code* code_of(const std::shared_ptr<void>& pattern) { return static_cast<pcre2_code*>(pattern.get()); }
pcre2_match_data* data_of(const std::shared_ptr<void>& match) { return static_cast<pcre2_match_data*>(match.get()); }

}  // namespace

WordSplitter::WordSplitter(std::string_view pre) {
  const auto found = std::find_if(std::begin(patterns), std::end(patterns),
                                  [pre](const NamedPattern& known) { return known.pre == pre; });
  if (found == std::end(patterns))
    fail("the model cuts text into words by '", pre, "', which is not known here; known are ", known_names());
  const std::string pattern = with_white_space(found->pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(bytes_of(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error,
                                   &offset, nullptr);
  if (code == nullptr) fail("PCRE2 refuses the pattern of '", pre, "' at ", offset, " with error ", error);
  pattern_ = std::shared_ptr<void>(code, [](void* held) { pcre2_code_free(static_cast<pcre2_code*>(held)); });
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
}

WordSplitter::Cursor::Cursor(const WordSplitter& splitter, std::string_view text)
    : splitter_(splitter), rest_(text), match_(pcre2_match_data_create(1, nullptr), [](void* held) {
        pcre2_match_data_free(static_cast<pcre2_match_data*>(held));
      }) {
  if (match_ == nullptr) fail("out of memory while splitting text into words");
}

std::string_view WordSplitter::Cursor::next() {
  const auto take = [this](std::size_t length) {
    const std::string_view word = rest_.substr(0, length);
    rest_.remove_prefix(length);
    checked_ -= std::min(checked_, length);
    return word;
  };
  const auto match = [this](std::size_t length, std::uint32_t options) {
    return pcre2_match(code_of(splitter_.pattern_), bytes_of(rest_), length, 0, options, data_of(match_), nullptr);
  };

  if (checked_ == 0) {  // check once up to the next bad byte, not again for every word
    const int result = match(rest_.size(), 0);
    const bool bad_utf8 = result <= PCRE2_ERROR_UTF8_ERR1 && result >= PCRE2_ERROR_UTF8_ERR21;
    checked_ = bad_utf8 ? pcre2_get_startchar(data_of(match_)) : rest_.size();
    if (checked_ == 0) return take(1);
  }
  const int result = match(checked_, PCRE2_NO_UTF_CHECK);
  const std::size_t length = result > 0 ? pcre2_get_ovector_pointer(data_of(match_))[1] : 0;
  if (length == 0) fail("PCRE2 cannot split text into words: error ", result);
  return take(length);
}

}  // namespace llama
