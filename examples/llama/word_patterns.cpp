#include "word_patterns.hpp"

#include <algorithm>
#include <array>

#include "error.hpp"

namespace llama {
namespace {

// A run of white space before a word leaves its last character to the word (" word"), hence the \s+ that looks ahead.

// https://github.com/openai/gpt-2, src/encoder.py
constexpr std::string_view gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Numbers are cut out digit by digit first, then the pattern of GPT-2 runs on each piece in between. In one pattern: no
// word holds a digit, and to white space a digit is the end of the text.
constexpr std::string_view smollm =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";
// https://github.com/meta-llama/llama3, llama/tokenizer.py
constexpr std::string_view llama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Qwen2: the same, digits one by one
constexpr std::string_view qwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Mistral NeMo: words end where capitals begin
constexpr std::string_view tekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
                                    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
                                    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// DeepSeek-LLM: the letters that have a case, listed
constexpr std::string_view deepseek_letters =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view deepseek_signs =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view east_asian = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";

using Steps = std::array<std::string_view, 6>;

constexpr struct {
  std::string_view pre;
  Steps steps;
} known[] = {
    {"gpt-2", {gpt2}},
    {"smollm", {smollm}},
    {"llama-bpe", {llama3}},
    {"qwen2", {qwen2}},
    {"deepseek-llm", {"[\r\n]", deepseek_letters, deepseek_signs, "\\s+$", east_asian, "\\p{N}+"}},
    {"deepseek-coder", {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", east_asian, "\\p{N}"}},
    {"tekken", {tekken}},
    {"default",  // what llama.cpp takes for files that name none
     {R"([\p{P}$+<=>^~|]+)", gpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    // Further names of the same.
    {"gpt2", {gpt2}},
    {"phi-2", {gpt2}},
    {"mpt", {gpt2}},
    {"olmo", {gpt2}},
    {"starcoder", {smollm}},
    {"refact", {smollm}},
    {"command-r", {smollm}},
    {"codeshell", {smollm}},
    {"llama3", {llama3}},
    {"llama-v3", {llama3}},
    {"falcon3", {llama3}},
    {"pixtral", {llama3}},
    {"dbrx", {llama3}},
    {"smaug-bpe", {llama3}},
    {"stablelm2", {qwen2}},
    {"deepseek-r1-qwen", {qwen2}},
};

}  // namespace

std::vector<SplitStep> word_pattern(std::string_view pre) {
  const auto found = std::find_if(std::begin(known), std::end(known), [pre](const auto& k) { return k.pre == pre; });
  if (found == std::end(known)) {
    std::string names;
    for (const auto& k : known) names += (names.empty() ? "" : ", ") + std::string(k.pre);
    fail("the model cuts text into words by '", pre, "', which is not known here; known are ", names,
         "; --tokenizer takes the tokenizer from another file");
  }
  std::vector<SplitStep> steps;
  for (std::string_view step : found->steps)
    if (!step.empty()) steps.push_back({.pattern = std::string(step)});
  return steps;
}

bool takes_whole_words(std::string_view pre) {
  constexpr std::string_view names[] = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken"};
  return std::find(std::begin(names), std::end(names), pre) != std::end(names);
}

std::string_view gpt2_pattern() { return gpt2; }

}  // namespace llama
