#include "word_splitter.hpp"

#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <planish/io/utf8.hpp>

#include "error.hpp"

namespace llama {
namespace {

/// What stands for \s in a class. PCRE2's own \s also takes U+180E, which is no white space to the libraries that
/// models are trained with.
constexpr std::string_view white_space = R"(\p{Z}\x{09}-\x{0D}\x{85})";

/// A pattern as PCRE2 must read it to mean the same: white space spelled out. Throws Error for what has no such form.
std::string for_pcre2(std::string_view pattern) {
  const auto refuse = [pattern](std::string_view part) {
    fail("the pattern '", pattern, "' that cuts text into words uses ", part, ", which is not supported");
  };
  std::string made;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (in_class && pattern.substr(i, 2) == "&&") refuse("an intersection of classes");
    if (c == '[' && in_class && pattern.substr(i, 2) != "[:") refuse("a class within a class");
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    if (c != '\\' || i + 1 == pattern.size()) {
      made += c;
      continue;
    }
    const char next = pattern[++i];
    if (next == 'h' || next == 'H' || (next == 'S' && in_class)) refuse(std::string("\\") + next);
    if (next == 's' && in_class)
      made += white_space;
    else if (next == 's' || next == 'S')
      made += std::string(next == 's' ? "[" : "[^") + std::string(white_space) + "]";
    else
      made += {c, next};
  }
  return made;
}

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }
pcre2_code* code_of(const std::shared_ptr<void>& pattern) { return static_cast<pcre2_code*>(pattern.get()); }

std::shared_ptr<void> compile(const SplitStep& step) {
  const std::string pattern = for_pcre2(step.pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(bytes_of(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error,
                                   &offset, nullptr);
  if (code == nullptr)
    fail("PCRE2 refuses the pattern '", step.pattern, "' that cuts text into words, at ", offset, " with error ",
         error);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
  return {code, [](void* held) { pcre2_code_free(static_cast<pcre2_code*>(held)); }};
}

}  // namespace

/// The scratch of the matcher while one text is cut.
class WordSplitter::Run {
 public:
  Run(const WordSplitter& splitter, const std::function<void(std::string_view)>& visit)
      : splitter_(splitter), visit_(visit), match_(pcre2_match_data_create(1, nullptr)) {
    if (match_ == nullptr) fail("out of memory while splitting text into words");
  }
  ~Run() { pcre2_match_data_free(match_); }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Cuts a piece of UTF-8 by the steps from `number` on.
  void cut(std::string_view piece, std::size_t number) {
    if (piece.empty()) return;
    if (number == splitter_.steps_.size()) return visit_(piece);
    const Step& step = splitter_.steps_[number];
    std::size_t done = 0, from = 0;
    while (from < piece.size()) {
      const auto [first, last] = find(step, piece, from);
      if (first == piece.size()) break;
      if (first == last) {  // matches nothing here: goes on behind the character
        from = last + planish::io::utf8_sequence_length(piece.substr(last));
        continue;
      }
      if (step.keeps != SplitKeeps::matches) cut(piece.substr(done, first - done), number + 1);
      if (step.keeps != SplitKeeps::gaps) cut(piece.substr(first, last - first), number + 1);
      done = from = last;
    }
    if (step.keeps != SplitKeeps::matches) cut(piece.substr(done), number + 1);
  }

 private:
  struct Found {
    std::size_t first, last;
  };

  /// The next match; empty and at the end if there is none.
  [[nodiscard]] Found find(const Step& step, std::string_view piece, std::size_t from) {
    const auto match = [&](std::uint32_t options) {
      return pcre2_match(code_of(step.pattern), bytes_of(piece), piece.size(), from, options | PCRE2_NO_UTF_CHECK,
                         match_, nullptr);
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return {piece.size(), piece.size()};
    if (result < 0) fail("PCRE2 cannot split text into words: error ", result);
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(match_);
    return {ends[0], ends[1]};
  }

  const WordSplitter& splitter_;
  const std::function<void(std::string_view)>& visit_;
  pcre2_match_data* match_;
};

WordSplitter::WordSplitter(std::span<const SplitStep> steps) {
  for (const SplitStep& step : steps) steps_.push_back({compile(step), step.keeps});
}

void WordSplitter::for_each_word(std::string_view text, const std::function<void(std::string_view)>& visit) const {
  Run run(*this, visit);
  while (!text.empty()) {
    std::size_t good = 0;  // bytes up to the next that is not UTF-8
    while (const std::size_t length = planish::io::utf8_sequence_length(text.substr(good))) good += length;
    run.cut(text.substr(0, good), 0);
    text.remove_prefix(good);
    if (text.empty()) return;
    visit(text.substr(0, 1));
    text.remove_prefix(1);
  }
}

}  // namespace llama
