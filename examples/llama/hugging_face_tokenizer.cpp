#include <algorithm>
#include <filesystem>

#include "hugging_face_splits.hpp"
#include "json_members.hpp"
#include "text_source.hpp"
#include "vocabulary.hpp"

namespace llama {
namespace {

/// Reads the tokens of tokenizer.json.
class TokenReader {
 public:
  TokenReader(const std::string& path, Vocabulary& vocabulary) : path_(path), vocabulary_(vocabulary) {}

  void read_model(const JsonMembers& model) {
    if (const std::string type = model.text("type", "BPE"); type != "BPE")
      fail(path_, ": the tokenizer is of the kind '", type, "'; BPE is supported");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!model.text(key, "").empty()) fail(path_, ": '", key, "' of the tokenizer is not supported");
    (void)model.object("vocab");
    for (const auto& [token, id] : model["vocab"].items()) set(token, id, TokenType::normal);
    for (const nlohmann::json& merge : model.array("merges")) vocabulary_.merges.push_back(spelled(merge));
    vocabulary_.takes_whole_words = model.flag("ignore_merges", false);
    vocabulary_.fuses_unknown = model.flag("fuse_unk", false);
    vocabulary_.unknown = find(model.text("unk_token", ""));
  }

  void read_added(const nlohmann::json& added) {
    for (const nlohmann::json& token : added) {
      if (!token.is_object()) fail(path_, ": an added token is not an object");
      const JsonMembers members(token, path_);
      const auto type = members.flag("special", false) ? TokenType::control : TokenType::user_defined;
      const std::string content = members.text("content");
      if (members.flag("single_word", false))
        fail(path_, ": the added token '", content,
             "' counts only between words (single_word), which is not supported");
      const auto id = members.number("id");
      set(content, nlohmann::json(id), type);
      const SpacesTaken spaces{members.flag("lstrip", false), members.flag("rstrip", false)};
      if (spaces.before || spaces.after) vocabulary_.spaces_taken[static_cast<int>(id)] = spaces;
    }
  }

  [[nodiscard]] std::optional<int> find(const std::string& token) const {
    const auto found = std::find(vocabulary_.tokens.begin(), vocabulary_.tokens.end(), token);
    if (token.empty() || found == vocabulary_.tokens.end()) return std::nullopt;
    return static_cast<int>(found - vocabulary_.tokens.begin());
  }

 private:
  void set(const std::string& token, const nlohmann::json& id, TokenType type) {
    constexpr std::int64_t most = std::int64_t{1} << 22;
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= most)
      fail(path_, ": the id of token '", token, "' is not a whole number below ", most);
    const auto at = static_cast<std::size_t>(id.get<std::int64_t>());
    if (at >= vocabulary_.tokens.size()) {
      vocabulary_.tokens.resize(at + 1);
      vocabulary_.types.resize(at + 1, TokenType::unused);  // ids may have holes
    }
    const bool is_taken = vocabulary_.types[at] != TokenType::unused && vocabulary_.tokens[at] != token;
    if (is_taken) fail(path_, ": tokens '", vocabulary_.tokens[at], "' and '", token, "' have the same id ", at);
    vocabulary_.tokens[at] = token;
    vocabulary_.types[at] = type;
  }

  /// "left right", which newer files hold as two strings.
  [[nodiscard]] std::string spelled(const nlohmann::json& merge) const {
    if (merge.is_string()) return merge.get<std::string>();
    const bool is_pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (!is_pair) fail(path_, ": a merge of the tokenizer is neither a string nor two of them");
    const auto left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
      fail(path_, ": a merge of the tokenizer holds a space, which is not supported");
    return left + ' ' + right;
  }

  const std::string& path_;
  Vocabulary& vocabulary_;
};

/// The token that a template puts before the text, or nothing.
std::string begin_of_template(const nlohmann::json& processor, const std::string& path) {
  if (!processor.is_object()) return {};
  const JsonMembers members(processor, path);
  const std::string type = members.text("type");
  if (type == "Sequence") {
    for (const nlohmann::json& inner : members.array("processors"))
      if (std::string begin = begin_of_template(inner, path); !begin.empty()) return begin;
    return {};
  }
  if (type != "TemplateProcessing") return {};
  const nlohmann::json& parts = members.array("single");
  if (parts.empty() || !parts[0].is_object() || !parts[0].contains("SpecialToken")) return {};
  return JsonMembers(parts[0], path).object("SpecialToken").text("id");
}

/// The JSON object of a file beside another; empty if it is not there.
nlohmann::json beside(const std::string& path, const char* name, std::string& its_path) {
  its_path = (std::filesystem::path(path).remove_filename() / name).string();
  std::error_code ignored;
  return std::filesystem::exists(its_path, ignored) ? parse_json(its_path, read_text(its_path))
                                                    : nlohmann::json::object();
}

/// A token that tokenizer_config.json names, as a string or as an object with its content.
std::string named_token(const JsonMembers& config, const char* key) {
  if (!config.has(key)) return {};
  return config[key].is_object() ? config.object(key).text("content") : config.text(key);
}

/// The id, or the first of several, that config.json has under a key.
std::optional<int> token_id(const JsonMembers& config, const char* key, std::size_t tokens) {
  if (!config.has(key)) return std::nullopt;
  const nlohmann::json& value = config[key].is_array() && !config[key].empty() ? config[key][0] : config[key];
  if (!value.is_number_integer()) return std::nullopt;
  const auto id = value.get<std::int64_t>();
  return id >= 0 && id < static_cast<std::int64_t>(tokens) ? std::optional(static_cast<int>(id)) : std::nullopt;
}

}  // namespace

Vocabulary read_hugging_face_vocabulary(const std::string& path) {
  const nlohmann::json json = parse_json(path, read_text(path));
  const JsonMembers members(json, path);
  Vocabulary vocabulary;
  read_hugging_face_splits(json, path, vocabulary);
  TokenReader tokens(path, vocabulary);
  tokens.read_model(members.object("model"));
  if (members.has("added_tokens")) tokens.read_added(members.array("added_tokens"));

  std::string tokenizer_config_path, config_path;
  const nlohmann::json tokenizer_json = beside(path, "tokenizer_config.json", tokenizer_config_path);
  const nlohmann::json config_json = beside(path, "config.json", config_path);
  const JsonMembers tokenizer_config(tokenizer_json, tokenizer_config_path), config(config_json, config_path);
  const std::string in_template =
      members.has("post_processor") ? begin_of_template(members["post_processor"], path) : "";
  const std::string begin = in_template.empty() ? named_token(tokenizer_config, "bos_token") : in_template;
  vocabulary.begin = tokens.find(begin);
  if (!vocabulary.begin && !in_template.empty()) fail(path, ": sequences begin with '", begin, "', which is no token");
  if (!vocabulary.begin) vocabulary.begin = token_id(config, "bos_token_id", vocabulary.tokens.size());
  vocabulary.end = tokens.find(named_token(tokenizer_config, "eos_token"));
  if (!vocabulary.end) vocabulary.end = token_id(config, "eos_token_id", vocabulary.tokens.size());
  vocabulary.adds_begin = tokenizer_config.flag("add_bos_token", !in_template.empty()) && vocabulary.begin.has_value();
  return vocabulary;
}

}  // namespace llama
