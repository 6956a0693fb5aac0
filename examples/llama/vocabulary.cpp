#include "vocabulary.hpp"

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include <planish/io/gguf.hpp>

#include "error.hpp"
#include "text_source.hpp"

namespace llama {
namespace {

/// Takes little-endian numbers and bytes from the front of a file's content.
class Reader {
 public:
  Reader(std::string_view content, const std::string& path) : rest_(content), path_(path) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  template <class Number>
  [[nodiscard]] Number number() {
    Number value;
    std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }

  [[nodiscard]] std::string_view bytes(std::size_t count) {
    if (count > rest_.size()) fail(path_, ": the tokenizer file ends in the middle of a token");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view rest_;
  const std::string& path_;
};

template <class T>
T value_of(planish::Result<T> result) {
  if (!result) throw Error(std::string(result.status().message()));
  return *std::move(result);
}

/// A token id, or nothing where the file has no such key. Ids beyond the vocabulary are refused by Tokenizer.
std::optional<int> token_id(const planish::io::GgufFile& file, std::string_view key) {
  if (!file.has(key)) return std::nullopt;
  const std::int64_t id = value_of(file.get_integer(key));
  if (id < 0 || id > std::numeric_limits<int>::max()) fail(file.path(), ": ", key, " is ", id, ", which is no token");
  return static_cast<int>(id);
}

bool flag(const planish::io::GgufFile& file, std::string_view key, bool otherwise) {
  return file.has(key) ? value_of(file.get_bool(key)) : otherwise;
}

}  // namespace

Vocabulary read_gguf_vocabulary(const planish::io::GgufFile& file) {
  Vocabulary vocabulary;
  const std::string model = value_of(file.get_string("tokenizer.ggml.model"));
  if (model == "gpt2") {
    vocabulary.kind = TokenizerKind::byte_level;
    if (file.has("tokenizer.ggml.pre")) vocabulary.pre = value_of(file.get_string("tokenizer.ggml.pre"));
    if (vocabulary.pre.empty()) vocabulary.pre = "default";
    vocabulary.takes_whole_words = takes_whole_words(vocabulary.pre);
    vocabulary.merges = value_of(file.string_array("tokenizer.ggml.merges"));
  } else if (model == "llama") {
    vocabulary.kind = TokenizerKind::sentence_piece;
    vocabulary.scores = value_of(file.float_array("tokenizer.ggml.scores"));
  } else {
    fail(file.path(), ": the tokenizer is of the kind '", model, "'; gpt2 and llama are known");
  }
  const bool is_sentence_piece = vocabulary.kind == TokenizerKind::sentence_piece;
  vocabulary.tokens = value_of(file.string_array("tokenizer.ggml.tokens"));
  if (file.has("tokenizer.ggml.token_type"))
    for (const std::int64_t type : value_of(file.int_array("tokenizer.ggml.token_type")))
      vocabulary.types.push_back(type >= 1 && type <= 6 ? static_cast<TokenType>(type) : TokenType::unused);
  vocabulary.begin = token_id(file, "tokenizer.ggml.bos_token_id");
  vocabulary.end = token_id(file, "tokenizer.ggml.eos_token_id");
  vocabulary.unknown = token_id(file, "tokenizer.ggml.unknown_token_id");
  vocabulary.adds_begin = flag(file, "tokenizer.ggml.add_bos_token", is_sentence_piece || vocabulary.takes_whole_words);
  vocabulary.adds_space_prefix = is_sentence_piece && flag(file, "tokenizer.ggml.add_space_prefix", true);
  return vocabulary;
}

Vocabulary read_llama2c_vocabulary(const std::string& path) {
  const std::string content = read_text(path);
  Reader reader(content, path);
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::sentence_piece;
  const auto longest = reader.number<std::int32_t>();
  while (!reader.at_end()) {
    vocabulary.scores.push_back(reader.number<float>());
    const auto length = reader.number<std::int32_t>();
    if (length < 0 || length > longest)
      fail(path, ": token ", vocabulary.tokens.size(), " of the tokenizer claims ", length, " bytes; the longest has ",
           longest);
    vocabulary.tokens.emplace_back(reader.bytes(static_cast<std::size_t>(length)));
  }
  constexpr std::size_t special_tokens = 3;  // unknown, begin, end
  if (vocabulary.tokens.size() <= special_tokens)
    fail(path, ": the tokenizer holds only ", vocabulary.tokens.size(), " tokens");
  vocabulary.types.assign(vocabulary.tokens.size(), TokenType::normal);
  vocabulary.types[0] = TokenType::unknown;
  vocabulary.types[1] = vocabulary.types[2] = TokenType::control;
  vocabulary.tokens[1] = "<s>";  // the file frames both names by line ends
  vocabulary.tokens[2] = "</s>";
  vocabulary.unknown = 0;
  vocabulary.begin = 1;
  vocabulary.end = 2;
  vocabulary.adds_begin = true;
  vocabulary.adds_space_prefix = true;
  return vocabulary;
}

}  // namespace llama
