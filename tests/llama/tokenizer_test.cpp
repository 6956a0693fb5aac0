#include "llama/tokenizer.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/gguf.hpp>

#include "fixtures.hpp"
#include "llama/error.hpp"
#include "llama/text_source.hpp"

using namespace llama;

namespace {

/// All bytes, a few merges and two special tokens.
Vocabulary small_vocabulary(const std::string& pre) {
  Vocabulary v;
  v.pre = pre;
  v.tokens = {"<|endoftext|>", "<|im_end|>"};
  v.types = {TokenType::control, TokenType::control};
  const auto add = [&v](const std::string& token) {
    v.tokens.push_back(token);
    v.types.push_back(TokenType::normal);
  };
  int further = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const int code = printable ? byte : further++;
    add(code < 0x80 ? std::string(1, static_cast<char>(code))
                    : std::string{static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))});
  }
  for (const std::string merge : {"a b", "b c", "ab c", "Ġ ab", "Ġ Ġ", "1 2"}) {
    v.merges.push_back(merge);
    add(merge.substr(0, merge.find(' ')) + merge.substr(merge.find(' ') + 1));
  }
  v.end = 0;
  return v;
}

std::vector<std::string> pieces(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> result;
  for (const int id : tokenizer.encode(text)) result.emplace_back(tokenizer.piece(id));
  return result;
}

std::vector<std::string> words(std::string_view pre, std::string_view text) {
  std::vector<std::string> result;
  WordSplitter(pre).for_each_word(text, [&](std::string_view word) { result.emplace_back(word); });
  return result;
}

using Strings = std::vector<std::string>;

std::string random_bytes(planish::Random& random, std::size_t size) {
  std::string text(size, '\0');
  const std::string_view likely = "abc  12\n'st\xc3\xa9\xe2\x84\xa2\xf0\x9f\x98\x80";
  for (char& c : text)
    c = random.below(8) == 0 ? static_cast<char>(random.below(256)) : likely[random.below(likely.size())];
  return text;
}

}  // namespace

TEST_CASE("the GPT-2 pattern keeps a space with its word") {
  CHECK(words("gpt-2", "Hello world") == Strings{"Hello", " world"});
  CHECK(words("gpt-2", "it's 1234,  fine\n\n now ") ==
        Strings{"it", "'s", " 1234", ",", " ", " fine", "\n\n", " now", " "});
}

TEST_CASE("the smollm pattern cuts digits one by one") {
  CHECK(words("smollm", "in 1234 or 5") == Strings{"in", " ", "1", "2", "3", "4", " or", " ", "5"});
  CHECK(words("smollm", "a  7") == Strings{"a", "  ", "7"});
  CHECK(words("smollm", "a  b") == Strings{"a", " ", " b"});
  CHECK(words("smollm", "\u00bd\u0663") == Strings{"\u00bd", "\u0663"});  // every number of Unicode is a digit
}

TEST_CASE("the Llama 3 pattern takes up to three digits") {
  CHECK(words("llama-bpe", "in 12345\n\nIT'S") == Strings{"in", " ", "123", "45", "\n\n", "IT", "'S"});
}

TEST_CASE("white space is Unicode's") {
  CHECK(words("gpt-2", "a\u00a0\u2003b") == Strings{"a", "\u00a0", "\u2003", "b"});
  CHECK(words("gpt-2", "\u180e\u180e") == Strings{"\u180e\u180e"});  // no white space since Unicode 6.3
}

TEST_CASE("an unknown pattern is refused by name") {
  CHECK_THROWS_WITH_AS(WordSplitter("qwen9"), doctest::Contains("'qwen9'"), Error);
  CHECK_THROWS_WITH_AS(WordSplitter(""), doctest::Contains("gpt-2, smollm, llama-bpe"), Error);
}

TEST_CASE("merges are made in their order, leftmost first") {
  const Tokenizer t = Tokenizer::byte_level(small_vocabulary("smollm"));
  CHECK(pieces(t, "abc") == Strings{"abc"});
  CHECK(pieces(t, "bcabc ab") == Strings{"bc", "abc", " ab"});
  CHECK(pieces(t, "12") == Strings{"1", "2"});  // merges never cross words
  CHECK(pieces(Tokenizer::byte_level(small_vocabulary("gpt-2")), "12") == Strings{"12"});
  CHECK(t.encode("").empty());
}

TEST_CASE("special tokens are parsed only on request") {
  const Tokenizer t = Tokenizer::byte_level(small_vocabulary("smollm"));
  CHECK(t.encode("a<|im_end|>").size() == 11);
  CHECK(t.encode("<|im_end|>ab<|endoftext|><|im", SpecialTokens::parsed).size() == 7);
  const std::vector<int> ids = t.encode("<|im_end|>ab<|endoftext|>", SpecialTokens::parsed);
  CHECK(ids.front() == 1);
  CHECK(ids.back() == 0);
  CHECK(t.decode(ids) == "ab");
  CHECK(t.special_token("<|im_end|>") == 1);
  CHECK_FALSE(t.special_token("ab").has_value());
  CHECK(t.end_tokens() == std::vector{0, 1});
}

TEST_CASE("any bytes come back from byte-level tokens") {
  const Tokenizer t = Tokenizer::byte_level(small_vocabulary("smollm"));
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed ", seed);
    planish::Random random(seed);
    const std::string text = random_bytes(random, random.below(300));
    CHECK(t.decode(t.encode(text)) == text);
  }
}

TEST_CASE("a prompt starts with the token that the model asks for") {
  Vocabulary v = small_vocabulary("smollm");
  CHECK(Tokenizer::byte_level(v).encode_prompt("ab") == Tokenizer::byte_level(v).encode("ab"));
  v.begin = 1;
  v.adds_begin = true;
  CHECK(Tokenizer::byte_level(v).encode_prompt("ab").front() == 1);
}

TEST_CASE("vocabularies that contradict themselves are refused") {
  const auto refused = [](Vocabulary v, const char* why) {
    CHECK_THROWS_WITH_AS(static_cast<void>(Tokenizer::from(v)), doctest::Contains(why), Error);
  };
  Vocabulary v = small_vocabulary("smollm");
  v.merges.push_back("x y");
  refused(v, "'x y'");
  v.merges.back() = "nospace";
  refused(v, "'nospace'");
  v = small_vocabulary("smollm");
  v.end = static_cast<int>(v.tokens.size());
  refused(v, "names token");
  v = small_vocabulary("smollm");
  v.types.pop_back();
  refused(v, "token types");
  v = small_vocabulary("smollm");
  v.adds_begin = true;
  refused(v, "names none");
  v = small_vocabulary("smollm");
  v.kind = TokenizerKind::sentence_piece;
  v.merges.clear();
  refused(v, "0 scores");
  refused(Vocabulary{}, "no tokens");
}

TEST_CASE("SentencePiece joins the best score first and falls back to bytes") {
  Vocabulary v;
  v.kind = TokenizerKind::sentence_piece;
  v.tokens = {"<unk>", "<s>", "\u2581", "a", "b", "ab", "\u2581a", "<0xC3>", "<0xA9>", "aa"};
  v.types.assign(v.tokens.size(), TokenType::normal);
  v.types[0] = TokenType::unknown;
  v.types[1] = TokenType::control;
  v.scores = {0, 0, -9, -9, -9, -1, -2, 0, 0, -3};
  v.unknown = 0;
  v.adds_space_prefix = true;
  const Tokenizer t = Tokenizer::from(v);
  CHECK(t.encode("ab") == std::vector{2, 5});
  CHECK(t.encode("aa") == std::vector{6, 3});
  CHECK(t.encode("\u00e9z") == std::vector{2, 7, 8, 0});
  CHECK(t.decode(t.encode("ab a \u00e9")) == "ab a \u00e9");
}

TEST_CASE("llama2.c files that end early or lie are refused") {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& bytes) {
    std::ofstream(folder.file(name), std::ios::binary) << bytes;
    return folder.file(name);
  };
  using namespace std::string_literals;
  CHECK_THROWS_WITH_AS(static_cast<void>(read_llama2c_vocabulary(write("a", "\x07\0\0\0\0\0"s))),
                       doctest::Contains("in the middle"), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(read_llama2c_vocabulary(write("b", "\x07\0\0\0\0\0\0\0\xff\xff\xff\x7f"s))),
                       doctest::Contains("2147483647 bytes"), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(read_llama2c_vocabulary(write("c", "\x07\0\0\0"s))),
                       doctest::Contains("only 0 tokens"), Error);
}

TEST_CASE("SmolLM2 gives the ids of the whole WikiText-2 test file") {
  const std::string model = test::default_model(), text = test::shared_data("wikitext2/wiki.test.raw");
  const std::string expected = test::shared_data("wikitext2/wiki.test.smollm2-ids.u16");
  if (model.empty() || text.empty() || expected.empty()) {
    MESSAGE("skipped: needs the SmolLM2 model and the shared data");
    return;
  }
  const auto file = planish::io::GgufFile::open(model);
  REQUIRE(file.has_value());
  const Tokenizer t = Tokenizer::from_gguf(*file);
  CHECK(t.size() == 49152);
  CHECK_FALSE(t.adds_begin());
  CHECK(t.begin_token() == 1);
  CHECK(t.end_token() == 2);
  CHECK(t.end_tokens() == std::vector{2, 0});
  CHECK(t.is_control(16));
  CHECK_FALSE(t.is_control(17));
  const std::string content = read_text(text);
  const std::vector<int> ids = t.encode(content), oracle = test::read_ids(expected);
  CHECK(ids.size() == oracle.size());
  const auto difference = std::mismatch(ids.begin(), ids.end(), oracle.begin(), oracle.end());
  CHECK(difference.first - ids.begin() == 303415);
  CHECK(t.decode(ids) == content);
}

TEST_CASE("stories260K: the ids of its test vector and the count of its reference figure") {
  const std::string tokens = test::shared_data("stories260K/tok512.bin");
  const std::string stories = test::shared_data("tinystories/valid.txt");
  if (tokens.empty() || stories.empty()) {
    MESSAGE("skipped: needs the shared data");
    return;
  }
  const Tokenizer t = Tokenizer::from_llama2c(tokens);
  CHECK(t.size() == 512);
  CHECK(t.special_token("</s>") == 2);
  const std::string content = read_text(stories), separator = "\n<|endoftext|>\n";
  std::size_t predictions = 0, from = 0;
  for (int story = 0; story < 200; ++story) {
    const std::size_t until = content.find(separator, from);
    REQUIRE(until != std::string::npos);
    const std::string text = content.substr(from, until - from);
    from = until + separator.size();
    const std::vector<int> ids = t.encode_prompt(text);
    predictions += std::min<std::size_t>(ids.size(), 513) - 1;
    CHECK(t.decode(ids) == text);
  }
  CHECK(predictions == 67589);
  CHECK(
      t.encode_prompt("Once upon a time, there was a little girl named Lily. She loved to play outside in the park.") ==
      std::vector{1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426,
                  338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426});
}

namespace {

/// The pieces of a SentencePiece model: a protobuf whose repeated field 1 holds {1: piece, 2: score, 3: type}.
Vocabulary read_sentence_piece_model(const std::string& bytes) {
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return static_cast<std::size_t>(value);
    }
  };
  Vocabulary v;
  v.kind = TokenizerKind::sentence_piece;
  v.adds_space_prefix = true;
  while (at < bytes.size()) {
    const std::size_t tag = varint();
    REQUIRE((tag & 7) == 2);
    const std::size_t length = varint(), end = at + length;
    if (tag >> 3 == 1) {
      v.types.push_back(TokenType::normal);
      while (at < end) {
        const std::size_t field = varint();
        if (field >> 3 == 1) {
          const std::size_t size = varint();
          v.tokens.push_back(bytes.substr(at, size));
          at += size;
        } else if (field >> 3 == 2) {
          float score;
          std::memcpy(&score, bytes.data() + at, sizeof score);
          v.scores.push_back(score);
          at += 4;
        } else {
          v.types.back() = static_cast<TokenType>(varint());
        }
      }
    }
    at = end;
  }
  return v;
}

}  // namespace

TEST_CASE("Llama gives the ids of the whole WikiText-2 test file") {
  const std::string model = test::shared_data("llama-tokenizer/tokenizer.model");
  const std::string text = test::shared_data("wikitext2/wiki.test.raw");
  const std::string expected = test::shared_data("wikitext2/wiki.test.llama-ids.u16");
  if (model.empty() || text.empty() || expected.empty()) {
    MESSAGE("skipped: needs the shared data");
    return;
  }
  Vocabulary v = read_sentence_piece_model(read_text(model));
  v.begin = 1;
  v.adds_begin = true;
  v.unknown = 0;
  const Tokenizer t = Tokenizer::from(v);
  CHECK(t.size() == 32000);
  const std::vector<int> ids = t.encode_prompt(read_text(text)), oracle = test::read_ids(expected);
  CHECK(ids.size() == oracle.size());
  const auto difference = std::mismatch(ids.begin(), ids.end(), oracle.begin(), oracle.end());
  CHECK(difference.first - ids.begin() == 335688);
}
