#include <cstring>
#include <limits>

#include "error.hpp"
#include "text_source.hpp"
#include "vocabulary.hpp"

namespace llama {
namespace {

/// Walks the fields of a protocol-buffer message.
class MessageReader {
 public:
  MessageReader(std::string_view content, const std::string& path) : rest_(content), path_(path) {}

  /// Steps to the next field; false at the end.
  [[nodiscard]] bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t tag = varint();
    field_ = tag >> 3;
    number_ = 0;
    bytes_ = {};
    switch (tag & 7) {
      case 0:
        number_ = varint();
        return true;
      case 1:
        return take(8), true;
      case 2:
        return take(varint()), true;
      case 5:
        return take(4), true;
      default:
        fail(path_, ": is not a SentencePiece model: a field of wire type ", tag & 7);
    }
  }
  [[nodiscard]] std::uint64_t field() const noexcept { return field_; }
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }
  [[nodiscard]] float real() const {
    float value = 0.0f;
    if (bytes_.size() != sizeof value) fail(path_, ": is not a SentencePiece model: a score is no float");
    std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

 private:
  [[nodiscard]] std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail(path_, ": is not a SentencePiece model: it ends inside a number");
  }
  void take(std::uint64_t size) {
    if (size > rest_.size()) fail(path_, ": is not a SentencePiece model: it ends inside a field");
    bytes_ = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(bytes_.size());
  }

  std::string_view rest_, bytes_;
  const std::string& path_;
  std::uint64_t field_ = 0, number_ = 0;
};

/// piece, score, type.
void read_piece(MessageReader piece, Vocabulary& vocabulary) {
  std::string token;
  float score = 0.0f;
  std::uint64_t type = 1;
  while (piece.next()) {
    if (piece.field() == 1) token = piece.bytes();
    if (piece.field() == 2) score = piece.real();
    if (piece.field() == 3) type = piece.number();
  }
  vocabulary.tokens.push_back(std::move(token));
  vocabulary.scores.push_back(score);
  vocabulary.types.push_back(type >= 1 && type <= 6 ? static_cast<TokenType>(type) : TokenType::unused);
}

/// The ids of special tokens; −1 says that there is none, and ids beyond the vocabulary are refused by Tokenizer.
std::optional<int> special_id(std::uint64_t number) {
  const auto id = static_cast<std::int64_t>(number);
  if (id < 0) return std::nullopt;
  return static_cast<int>(std::min<std::int64_t>(id, std::numeric_limits<int>::max()));
}

void read_trainer(MessageReader trainer, const std::string& path, Vocabulary& vocabulary) {
  std::uint64_t kind = 1;
  while (trainer.next()) {
    if (trainer.field() == 3) kind = trainer.number();
    if (trainer.field() == 40) vocabulary.unknown = special_id(trainer.number());
    if (trainer.field() == 41) vocabulary.begin = special_id(trainer.number());
    if (trainer.field() == 42) vocabulary.end = special_id(trainer.number());
  }
  constexpr const char* kinds[] = {"", "unigram", "BPE", "word", "char"};
  if (kind != 2)
    fail(path, ": the SentencePiece model is of the kind ", kind < 5 ? kinds[kind] : "unknown", "; BPE is supported");
}

void read_normalizer(MessageReader normalizer, const std::string& path, Vocabulary& vocabulary) {
  bool removes_spaces = true;
  while (normalizer.next()) {
    if (normalizer.field() == 2 && !normalizer.bytes().empty())
      fail(path, ": the SentencePiece model maps characters before it cuts text, which is not supported");
    if (normalizer.field() == 3) vocabulary.adds_space_prefix = normalizer.number() != 0;
    if (normalizer.field() == 4) removes_spaces = normalizer.number() != 0;
  }
  if (removes_spaces) fail(path, ": the SentencePiece model removes repeated spaces, which is not supported");
}

}  // namespace

Vocabulary read_sentence_piece_vocabulary(const std::string& path) {
  const std::string content = read_text(path);
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::sentence_piece;
  vocabulary.unknown = 0;
  vocabulary.begin = 1;
  vocabulary.end = 2;
  vocabulary.adds_begin = vocabulary.adds_space_prefix = vocabulary.fuses_unknown = true;
  bool has_trainer = false;
  MessageReader model(content, path);
  while (model.next()) {
    const MessageReader inner(model.bytes(), path);
    if (model.field() == 1) read_piece(inner, vocabulary);
    if (model.field() == 2) read_trainer(inner, path, vocabulary), has_trainer = true;
    if (model.field() == 3) read_normalizer(inner, path, vocabulary);
  }
  if (!has_trainer) fail(path, ": is not a SentencePiece model: nothing tells its kind");
  vocabulary.adds_begin = vocabulary.begin.has_value();
  return vocabulary;
}

}  // namespace llama
