#include "vocabulary.hpp"

#include <cstring>
#include <string_view>

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

}  // namespace

Vocabulary read_llama2c_vocabulary(const std::string& path) {
  const std::string content = read_text(path);
  Reader reader(content, path);
  Vocabulary vocabulary;
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
  vocabulary.unknown = 0;
  vocabulary.begin = 1;
  vocabulary.end = 2;
  vocabulary.adds_begin = true;
  vocabulary.adds_space_prefix = true;
  return vocabulary;
}

}  // namespace llama
