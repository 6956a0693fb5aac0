// Which file holds a model's tokenizer, and real tokenizers in each of their files.
#include "llama/tokenizer_files.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/io/gguf.hpp>

#include "io/files.hpp"
#include "llama/text_source.hpp"
#include "tokenizer_json.hpp"

namespace llama::test {
namespace {

TEST_CASE("the tokenizer of a model: itself, or what lies in its folder") {
  const TokenizerFolder folder;
  const auto path = [&](const char* name) {
    std::ofstream(folder.file(name)) << "x";
    return folder.file(name);
  };
  const std::string weights = path("model.safetensors"), here = std::filesystem::path(weights).parent_path().string();
  CHECK(find_tokenizer("some.gguf") == "some.gguf");
  CHECK(contains(message_of([&] { (void)find_tokenizer(here); }), "has no tokenizer (tokenizer.json, tokenizer.model"));
  const std::string bin = path("tok512.bin");
  CHECK(find_tokenizer(weights) == bin);
  (void)path("tokenizer.bin");
  CHECK(contains(message_of([&] { (void)find_tokenizer(weights); }), "several tokenizers"));
  const std::string model = path("tokenizer.model");
  CHECK(find_tokenizer(here) == model);
  const std::string json = path("tokenizer.json");
  CHECK(find_tokenizer(here) == json);
  CHECK(find_tokenizer(weights + ".index.json") == json);

  CHECK(contains(message_of([&] { (void)read_chat_template(json); }), "has no chat template"));
  (void)folder.write({{"chat_template", "one"}}, "tokenizer_config.json");
  CHECK(read_chat_template(json) == "one");
  (void)folder.write(
      {{"chat_template", {{{"name", "tool"}, {"template", "t"}}, {{"name", "default"}, {"template", "d"}}}}},
      "tokenizer_config.json");
  CHECK(read_chat_template(json) == "d");
  std::ofstream(folder.file("chat_template.jinja")) << "file";
  CHECK(read_chat_template(json) == "file");
}

TEST_CASE("the tokenizer of a GGUF file: the habits of its kind, and what the file says against them") {
  const auto read = [](const std::function<void(io_test::GgufBuilder&)>& more) {
    io_test::GgufBuilder file;
    more(file);
    const auto opened = io_test::open_gguf(file.build());
    REQUIRE(opened.has_value());
    return Tokenizer::from_gguf(*opened);
  };
  const auto byte_level = [&](const char* pre, const std::function<void(io_test::GgufBuilder&)>& more = {}) {
    return read([&](io_test::GgufBuilder& file) {
      file.string("tokenizer.ggml.model", "gpt2").array<std::string>("tokenizer.ggml.merges", 8, {"a b", "1 2"});
      file.array<std::string>("tokenizer.ggml.tokens", 8, {"<b>", "a", "b", "c", "ab", "abc", "1", "2", "12", "<u>"});
      file.array<std::int32_t>("tokenizer.ggml.token_type", 5, {3, 1, 1, 1, 1, 1, 1, 1, 1, 4});
      file.metadata("tokenizer.ggml.bos_token_id", 4, std::uint32_t{0});
      if (pre != nullptr) file.string("tokenizer.ggml.pre", pre);
      if (more) more(file);
    });
  };
  CHECK(byte_level("llama-bpe").adds_begin());
  CHECK_FALSE(byte_level("qwen2").adds_begin());
  CHECK_FALSE(
      byte_level("llama-bpe", [](auto& f) { f.metadata("tokenizer.ggml.add_bos_token", 7, false); }).adds_begin());
  CHECK(pieces(byte_level("llama-bpe"), "abc12") == Strings{"abc", "12"});  // a word that is a token
  CHECK(pieces(byte_level("qwen2"), "abc12") == Strings{"ab", "c", "1", "2"});
  CHECK(pieces(byte_level("gpt-2"), "a<u>b") == Strings{"a", "<u>", "b"});
  for (const char* pre : {static_cast<const char*>(nullptr), ""})
    CHECK(pieces(byte_level(pre), "12a") == pieces(byte_level("default"), "12a"));
  CHECK(contains(message_of([&] { (void)byte_level("gpt-9"); }), "memory: the model cuts text into words by 'gpt-9'"));

  const Tokenizer t = read([](io_test::GgufBuilder& file) {
    file.string("tokenizer.ggml.model", "llama").array<float>("tokenizer.ggml.scores", 6, {0, 0, -3, -3, -3, -1, -2});
    file.array<std::string>("tokenizer.ggml.tokens", 8, {"<unk>", "<s>", "▁", "a", "b", "ab", "▁a"});
    file.array<std::int32_t>("tokenizer.ggml.token_type", 5, {2, 3, 1, 1, 1, 1, 1});
    file.metadata("tokenizer.ggml.bos_token_id", 4, std::uint32_t{1});
    file.metadata("tokenizer.ggml.unknown_token_id", 4, std::uint32_t{0});
  });
  CHECK(t.encode_prompt("ab a") == std::vector{1, 2, 5, 6});
  CHECK(contains(message_of([&] { (void)read([](auto& f) { f.string("tokenizer.ggml.model", "t5"); }); }),
                 "of the kind 't5'; gpt2 and llama are known"));
}

/// What tokenizer.json of a SentencePiece model lists: every way to make a token of two others, the best score first.
Json merges_of(const Vocabulary& v) {
  std::map<std::string, std::size_t> ids;
  for (std::size_t i = 0; i < v.tokens.size(); ++i) ids.emplace(v.tokens[i], i);
  std::vector<std::tuple<float, std::size_t, std::size_t>> found;
  for (std::size_t i = 0; i < v.tokens.size(); ++i)
    for (std::size_t cut = 1; cut < v.tokens[i].size(); ++cut) {
      const auto left = ids.find(v.tokens[i].substr(0, cut)), right = ids.find(v.tokens[i].substr(cut));
      if (left != ids.end() && right != ids.end()) found.emplace_back(-v.scores[i], left->second, right->second);
    }
  std::sort(found.begin(), found.end());
  Json merges = Json::array();
  for (const auto& [score, left, right] : found) merges.push_back(v.tokens[left] + " " + v.tokens[right]);
  return merges;
}

TEST_CASE(
    "Llama's tokenizer.model, and the tokenizer.json made of it, give the ids of the whole WikiText-2 test file") {
  const std::string model = shared_data("llama-tokenizer/tokenizer.model"),
                    text = shared_data("wikitext2/wiki.test.raw");
  const std::string expected = shared_data("wikitext2/wiki.test.llama-ids.u16");
  if (model.empty() || text.empty() || expected.empty()) {
    MESSAGE("skipped: needs the shared data");
    return;
  }
  const std::string content = read_text(text);
  const std::vector<int> oracle = read_ids(expected);
  const Tokenizer t = Tokenizer::from_file(model);
  CHECK(t.begin_token() == 1);
  CHECK(t.end_token() == 2);
  CHECK(t.encode_prompt(content) == oracle);

  const Vocabulary v = read_sentence_piece_vocabulary(model);
  const Json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  const Json prepend{{"type", "Prepend"}, {"prepend", "▁"}};
  Json json = sentence_piece_tokenizer({{"type", "Sequence"}, {"normalizers", {prepend, replace}}}, nullptr);
  Json vocab = Json::object();
  for (std::size_t i = 0; i < v.tokens.size(); ++i) vocab[v.tokens[i]] = i;
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = merges_of(v);
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", Json::array({Json{{"SpecialToken", {{"id", "<s>"}}}}})}};
  const TokenizerFolder folder;
  CHECK(folder.read(json).encode_prompt(content) == oracle);

  const std::string bytes =
      read_text(model);  // cut anywhere: an error, or a shorter vocabulary that says what it lacks
  planish::Random random(7);
  for (int trial = 0; trial < 20; ++trial) {
    const std::string cut = folder.file("cut.model");
    std::ofstream(cut, std::ios::binary) << bytes.substr(0, 1 + random.below(bytes.size() - 1));
    CHECK(contains(message_of([&] { (void)Tokenizer::from_file(cut); }), "cut.model: "));
  }
}

TEST_CASE("SmolLM2's tokenizer as tokenizer.json gives the ids of the whole WikiText-2 test file") {
  const std::string model = default_model(), text = shared_data("wikitext2/wiki.test.raw");
  const std::string expected = shared_data("wikitext2/wiki.test.smollm2-ids.u16");
  if (model.empty() || text.empty() || expected.empty()) {
    MESSAGE("skipped: needs the SmolLM2 model and the shared data");
    return;
  }
  const auto file = planish::io::GgufFile::open(model);
  REQUIRE(file.has_value());
  const Vocabulary v = read_gguf_vocabulary(*file);
  Json json = small_tokenizer(sequence({{{"type", "Digits"}, {"individual_digits", true}}, byte_level_step}));
  Json vocab = Json::object(), added = Json::array();
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    vocab[v.tokens[i]] = i;
    if (v.types[i] == TokenType::control) added.push_back({{"id", i}, {"content", v.tokens[i]}, {"special", true}});
  }
  json["added_tokens"] = added;
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = v.merges;
  const TokenizerFolder folder;
  CHECK(folder.read(json).encode(read_text(text)) == read_ids(expected));
}

}  // namespace
}  // namespace llama::test
