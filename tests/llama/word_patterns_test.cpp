// The patterns that cut text into words, by the names that GGUF files use.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>

#include "llama/word_splitter.hpp"
#include "messages.hpp"

namespace llama::test {
namespace {

using Strings = std::vector<std::string>;

Strings words(std::string_view pre, std::string_view text) {
  Strings made;
  WordSplitter(pre).for_each_word(text, [&](std::string_view word) { made.emplace_back(word); });
  return made;
}

TEST_CASE("patterns that GGUF files name") {
  CHECK(words("qwen2", "in 123 IT'S\n\n x") == Strings{"in", " ", "1", "2", "3", " IT", "'S", "\n\n", " x"});
  CHECK(words("tekken", "HelloWorld camelCase 12/\n") ==
        Strings{"Hello", "World", " camel", "Case", " ", "1", "2", "/\n"});
  CHECK(words("default", "a...b 1234 $5") == Strings{"a", "...", "b", " ", "123", "4", " ", "$", "5"});
  CHECK(words("deepseek-llm", "it's 2024,\n\n漢字 Ω") ==
        Strings{"it", "'", "s", " ", "2024", ",", "\n", "\n", "漢字", " Ω"});
  CHECK(words("deepseek-llm", "\u2126\u212a \u1fbe") ==
        Strings{"\u2126\u212a", " ", "\u1fbe"});  // the range of kana cuts Greek
  CHECK(words("deepseek-coder", "x1 é!?") == Strings{"x", "1", " é", "!?"});
  CHECK(words("starcoder", "a 12") == words("smollm", "a 12"));
  CHECK(words("llama3", "IT'S 1234") == words("llama-bpe", "IT'S 1234"));
  CHECK(takes_whole_words("llama-bpe"));
  CHECK_FALSE(takes_whole_words("qwen2"));
  CHECK(contains(message_of([] { (void)WordSplitter("gpt-9"); }), "--tokenizer takes the tokenizer from another file"));
}

TEST_CASE("every step keeps every byte") {
  const std::string likely = "abcXY  12\n'st.,!\xc3\xa9\xe2\x84\xa2\xf0\x9f\x98\x80";
  for (const char* pre : {"default", "qwen2", "tekken", "deepseek-llm", "deepseek-coder", "llama-bpe", "smollm"})
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      INFO(pre, " seed ", seed);
      planish::Random random(seed);
      std::string text(random.below(200), '\0'), back;
      for (char& c : text)
        c = random.below(9) == 0 ? static_cast<char>(random.below(256)) : likely[random.below(likely.size())];
      for (const std::string& word : words(pre, text)) {
        CHECK_FALSE(word.empty());
        back += word;
      }
      CHECK(back == text);
    }
}

}  // namespace
}  // namespace llama::test
