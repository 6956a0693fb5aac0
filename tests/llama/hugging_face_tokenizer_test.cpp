// tokenizer.json: what it says of words, merges, special tokens and spaces, and what of it is refused.
#include <doctest/doctest.h>

#include "llama/error.hpp"
#include "tokenizer_json.hpp"

namespace llama::test {
namespace {

TEST_CASE("tokenizer.json, byte-level: words, merges, merges as pairs, ids with holes") {
  const TokenizerFolder folder;
  Json json = small_tokenizer();
  CHECK(pieces(folder.read(json), "abc abab 12") == Strings{"abc", " ab", "ab", " ", "12"});
  json["model"]["merges"] = Json::array({{"a", "b"}, {"ab", "c"}, {"Ġ", "ab"}, {"1", "2"}});
  json["model"]["vocab"]["z"] = 40;
  const Tokenizer t = folder.read(json);
  CHECK(pieces(t, "abc z") == Strings{"abc", " ", "z"});
  CHECK(t.size() == 41);
  CHECK(t.encode("z") == std::vector{40});
  CHECK_FALSE(t.adds_begin());
}

TEST_CASE("tokenizer.json: the steps that cut text run one after the other on what the one before left") {
  const TokenizerFolder folder;
  const Json digits{{"type", "Digits"}, {"individual_digits", true}};
  CHECK(pieces(folder.read(small_tokenizer(sequence({digits, byte_level_step}))), "ab 12") ==
        Strings{"ab", " ", "1", "2"});
  CHECK(pieces(folder.read(small_tokenizer(sequence({split("b"), bytes_only}))), "abc") == Strings{"a", "b", "c"});
  CHECK(pieces(folder.read(small_tokenizer(sequence({split("b", "Removed"), bytes_only}))), "abc") ==
        Strings{"a", "c"});
  CHECK(pieces(folder.read(small_tokenizer(sequence({split("[ab]+", "Removed", true), bytes_only}))), "abcab") ==
        Strings{"ab", "ab"});
  Json literal = split("");
  literal["pattern"] = {{"String", "("}};
  CHECK(pieces(folder.read(small_tokenizer(sequence({literal, bytes_only}))), "ab") == Strings{"ab"});
  Json prefixed = byte_level_step;
  prefixed["add_prefix_space"] = true;
  CHECK(pieces(folder.read(small_tokenizer(prefixed)), "ab") == Strings{" ab"});
  CHECK(pieces(folder.read(small_tokenizer(prefixed)), " ab") == Strings{" ab"});
}

TEST_CASE("tokenizer.json: a word that is a token needs no merges where the file says so") {
  const TokenizerFolder folder;
  Json json = small_tokenizer();
  json["model"]["merges"] = Json::array({"b c"});
  json["model"]["vocab"]["bc"] = 13;
  CHECK(pieces(folder.read(json), "abc") == Strings{"a", "bc"});
  json["model"]["ignore_merges"] = true;
  CHECK(pieces(folder.read(json), "abc") == Strings{"abc"});
  CHECK(pieces(folder.read(json), "abcb") == Strings{"a", "bc", "b"});
}

TEST_CASE("user-defined tokens are found in any text, control tokens on request") {
  const TokenizerFolder folder;
  const Tokenizer t = folder.read(small_tokenizer());
  CHECK(pieces(t, "ab<tool>ab") == Strings{"ab", "<tool>", "ab"});
  CHECK(pieces(t, "ab<s>ab") == Strings{"ab", "ab"});  // '<', 's' and '>' have no token here
  CHECK(pieces(t, "ab<s>ab", SpecialTokens::parsed) == Strings{"ab", "<s>", "ab"});
  CHECK(t.is_control(0));
  CHECK_FALSE(t.is_control(1));
}

TEST_CASE("added tokens take in the spaces beside them where the file says so (lstrip, rstrip)") {
  const TokenizerFolder folder;
  const auto with = [&](bool before, bool after) {
    Json json = small_tokenizer();
    json["added_tokens"][1]["lstrip"] = before;
    json["added_tokens"][1]["rstrip"] = after;
    return folder.read(json);
  };
  CHECK(pieces(with(false, false), "ab <tool> ab") == Strings{"ab", " ", "<tool>", " ab"});
  CHECK(pieces(with(true, false), "ab <tool> ab") == Strings{"ab", "<tool>", " ab"});
  CHECK(pieces(with(false, true), "ab <tool> ab") == Strings{"ab", " ", "<tool>", "ab"});
  CHECK(pieces(with(true, true), "ab \n\t<tool>\u00a0\u3000\r\n ab") == Strings{"ab", "<tool>", "ab"});
  // Spaces that one token took are not there for the next, and text may begin and end with them.
  CHECK(pieces(with(true, true), " <tool>  <tool> ") == Strings{"<tool>", "<tool>"});
  CHECK(pieces(with(true, true), "a b<tool>a b") == Strings{"a", " ", "b", "<tool>", "a", " ", "b"});
  // A byte that is no character is no space, even if it ends one.
  CHECK(with(true, false).encode("a\x80<tool>").size() == 2);

  Json control = small_tokenizer();
  control["added_tokens"][0]["rstrip"] = true;
  CHECK(pieces(folder.read(control), "<s>  ab", SpecialTokens::parsed) == Strings{"<s>", "ab"});
  CHECK(pieces(folder.read(control), "a ab") == Strings{"a", " ab"});

  Json first = sentence_piece_tokenizer(nullptr, metaspace("first", false));
  first["added_tokens"].push_back({{"id", 9}, {"content", "<x>"}, {"special", false}, {"lstrip", true}});
  CHECK(pieces(folder.read(first), "  <x>a") == Strings{"<x>", "a"});  // the start was spaces, and they are gone
}

TEST_CASE("which token begins and ends: template, tokenizer_config.json, config.json") {
  const TokenizerFolder folder;
  Json json = small_tokenizer();
  CHECK_FALSE(folder.read(json).begin_token().has_value());
  (void)folder.write({{"bos_token_id", 0}, {"eos_token_id", {1, 0}}}, "config.json");
  CHECK(folder.read(json).begin_token() == 0);
  CHECK(folder.read(json).end_token() == 1);
  CHECK_FALSE(folder.read(json).adds_begin());

  const Json with_begin{{"type", "TemplateProcessing"},
                        {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
  const Json processors{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}, with_begin}}};
  for (const Json& processor : {with_begin, processors}) {
    json["post_processor"] = processor;
    CHECK(folder.read(json).adds_begin());
    CHECK(folder.read(json).encode_prompt("ab").front() == 0);
  }
  (void)folder.write({{"add_bos_token", false}, {"eos_token", {{"content", "<s>"}}}}, "tokenizer_config.json");
  CHECK_FALSE(folder.read(json).adds_begin());
  CHECK(folder.read(json).end_token() == 0);
  json["post_processor"] = nullptr;
  (void)folder.write({{"add_bos_token", true}, {"bos_token", "<s>"}}, "tokenizer_config.json");
  CHECK(folder.read(json).adds_begin());
}

TEST_CASE("tokenizer.json in the manner of SentencePiece: spaces, prefixes, bytes, unknown characters") {
  const TokenizerFolder folder;
  const Json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  const Json prepend{{"type", "Prepend"}, {"prepend", "▁"}};
  const Json legacy{{"type", "Sequence"}, {"normalizers", {prepend, replace}}};
  const Tokenizer old = folder.read(sentence_piece_tokenizer(legacy, nullptr));
  CHECK(pieces(old, "ab  a") == Strings{" ", "ab", " ", " a"});
  CHECK(pieces(old, " a") == Strings{" ", " a"});              // a space comes before any text
  CHECK(pieces(old, "b  b") == Strings{" ", "b", "  ", "b"});  // merges go on across words
  CHECK(old.encode("é") == std::vector{1, 6, 7});
  CHECK(old.encode("xyäz") == std::vector{1, 0});  // neighbours without a token are one unknown token
  CHECK(old.decode(old.encode("ab é")) == "ab é");

  const auto with = [&](const char* scheme, bool splits) {
    return folder.read(sentence_piece_tokenizer(nullptr, metaspace(scheme, splits)));
  };
  CHECK(pieces(with("always", false), " a") == Strings{" a"});  // a space is there
  CHECK(pieces(with("always", true), "ab  a") == Strings{" ", "ab", " ", " a"});
  CHECK(pieces(with("never", false), "ab") == Strings{"ab"});
  CHECK(pieces(with("never", false), "b▁a") == Strings{"b", " a"});  // the mark itself is a space
  CHECK(pieces(folder.read(sentence_piece_tokenizer(replace, nullptr)), "ab") == Strings{"ab"});

  Json json = sentence_piece_tokenizer(nullptr, metaspace("first", false));
  json["added_tokens"].push_back({{"id", 9}, {"content", "<x>"}, {"special", false}});
  CHECK(pieces(folder.read(json), "a<x>a") == Strings{" a", "<x>", "a"});
  json["pre_tokenizer"] = metaspace("always", false);
  CHECK(pieces(folder.read(json), "a<x>a") == Strings{" a", "<x>", " a"});
}

TEST_CASE("tokenizer.json: what is not supported, or wrong, is named with its file") {
  const TokenizerFolder folder;
  const auto refused = [&](const Json& json, const char* why) {
    const std::string message = folder.refusal(json);
    CAPTURE(message);
    CHECK(message.starts_with(folder.file("tokenizer.json") + ": "));
    CHECK(contains(message, why));
  };
  const auto with = [](const char* part, const char* key, const Json& value) {
    Json json = small_tokenizer();
    (*part == '\0' ? json : json[part])[key] = value;
    return json;
  };
  refused(Json::array(), "is not a JSON object");
  refused(with("model", "type", "Unigram"), "kind 'Unigram'; BPE is supported");
  refused(with("model", "end_of_word_suffix", "</w>"), "'end_of_word_suffix'");
  refused(with("model", "merges", Json::array({"a x"})), "'a x'");
  refused(with("model", "merges", Json::array({Json::array({"a", "b", "c"})})), "neither a string nor two");
  refused(with("model", "vocab", {{"a", -1}}), "id of token 'a'");
  refused(with("model", "vocab", {{"a", 1 << 30}}), "id of token 'a'");
  refused(with("model", "vocab", {{"a", 5}, {"b", 5}}), "'a' and 'b' have the same id 5");
  refused(with("", "added_tokens", {{{"id", 0}, {"content", "<s>"}, {"single_word", true}}}),
          "the added token '<s>' counts only between words (single_word), which is not supported");
  refused(with("", "normalizer", {{"type", "NFKC"}}), "normalizer 'NFKC' is not supported (NFC, ");
  refused(with("", "pre_tokenizer", {{"type", "Whitespace"}}), "pre-tokenizer 'Whitespace' is not supported (Split, ");
  refused(with("", "pre_tokenizer", nullptr), "neither byte-level");
  refused(with("", "pre_tokenizer", sequence({split("a", "MergedWithNext"), bytes_only})), "'MergedWithNext'");
  refused(with("", "pre_tokenizer", sequence({split("(a"), bytes_only})), "PCRE2 refuses the pattern '(a'");
  refused(with("", "pre_tokenizer", sequence({split("[a&&[b]]"), bytes_only})), "an intersection of classes");
  refused(with("", "pre_tokenizer", sequence({bytes_only, split("a")})), "is not the last step");
  refused(with("", "pre_tokenizer", metaspace("last", true)), "'last'");
  Json json = small_tokenizer();
  json["pre_tokenizer"] = sequence({metaspace("never", true), bytes_only});
  refused(json, "spells spaces in two ways");
  std::ofstream(folder.file("tokenizer.json")) << "{\"model\": ";
  CHECK(contains(message_of([&] { (void)Tokenizer::from_file(folder.file("tokenizer.json")); }), "not a JSON object"));
}

}  // namespace
}  // namespace llama::test
