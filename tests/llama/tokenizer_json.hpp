#pragma once
// Small tokenizer.json files, and what reads them.
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "fixtures.hpp"
#include "llama/tokenizer.hpp"
#include "messages.hpp"

namespace llama::test {

using Json = nlohmann::json;
using Strings = std::vector<std::string>;

inline const Json byte_level_step{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
inline const Json bytes_only{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};

inline Json split(const char* pattern, const char* behaviour = "Isolated", bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", behaviour}, {"invert", invert}};
}
inline Json sequence(const Json& steps) { return {{"type", "Sequence"}, {"pretokenizers", steps}}; }

/// Letters and a few joined ones, byte-level.
inline Json small_tokenizer(const Json& pre_tokenizer = byte_level_step) {
  Json vocab = Json::object();
  for (const char* token : {"a", "b", "c", "1", "2", "Ġ", "Ċ", "ab", "abc", "Ġab", "12"})
    vocab[token] = vocab.size() + 2;
  Json added = Json::array();
  added.push_back({{"id", 0}, {"content", "<s>"}, {"special", true}});
  added.push_back({{"id", 1}, {"content", "<tool>"}, {"special", false}});
  return {{"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer},
          {"post_processor", nullptr},
          {"model",
           {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "ab c", "Ġ ab", "1 2"}}, {"ignore_merges", false}}}};
}

class TokenizerFolder {
 public:
  [[nodiscard]] std::string write(const Json& json, const std::string& name = "tokenizer.json") const {
    std::ofstream(folder_.file(name)) << json;
    return folder_.file(name);
  }
  [[nodiscard]] Tokenizer read(const Json& json) const { return Tokenizer::from_file(write(json)); }
  [[nodiscard]] std::string refusal(const Json& json) const {
    return message_of([&] { (void)read(json); });
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  TemporaryFolder folder_;
};

inline Strings pieces(const Tokenizer& t, std::string_view text, SpecialTokens special = SpecialTokens::as_text) {
  Strings made;
  for (int id : t.encode(text, special)) made.emplace_back(t.piece(id));
  return made;
}

/// In the manner of SentencePiece.
inline Json sentence_piece_tokenizer(const Json& normalizer, const Json& pre_tokenizer) {
  Json vocab = Json::object();
  for (const char* token : {"<unk>", "▁", "a", "b", "ab", "▁a", "<0xC3>", "<0xA9>", "▁▁"}) vocab[token] = vocab.size();
  return {{"added_tokens", Json::array()},
          {"normalizer", normalizer},
          {"pre_tokenizer", pre_tokenizer},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", {"a b", "▁ a", "▁ ▁"}}}}};
}

inline Json metaspace(const char* scheme, bool splits) {
  return {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", splits}};
}

}  // namespace llama::test
