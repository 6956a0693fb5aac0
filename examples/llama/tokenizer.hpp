#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pair_merges.hpp"
#include "word_splitter.hpp"

namespace planish::io {
class GgufFile;
}

namespace llama {

/// What a token is for, with the numbers that GGUF files use.
enum class TokenType : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// The plain data of a tokenizer, as model files hold it.
struct Vocabulary {
  std::vector<std::string> tokens;  ///< by id
  std::vector<TokenType> types;     ///< by id; empty: all normal
  std::vector<std::string> merges;  ///< byte-level BPE: "left right", best first
  std::vector<float> scores;        ///< SentencePiece BPE: by id, best is largest
  std::string pre = "gpt-2";        ///< byte-level BPE: how text is cut into words
  std::optional<int> begin;         ///< beginning-of-sequence token
  std::optional<int> end;           ///< end-of-sequence token
  std::optional<int> unknown;       ///< stands for bytes that no token holds
  bool adds_begin = false;          ///< the model expects sequences to start with `begin`
  bool adds_space_prefix = true;    ///< SentencePiece BPE: text gets a leading space
};

/// Whether text such as <|im_end|> is the special token of that name, or just characters.
enum class SpecialTokens : std::uint8_t { as_text, parsed };

/// Text to token ids and back. Immutable and safe to share between threads. Every problem is a Error.
class Tokenizer {
 public:
  /// Byte-level BPE (GPT-2 and its heirs): text is cut into words by a pattern, words into bytes, and neighbouring
  /// pieces are merged in the order the merges are listed.
  [[nodiscard]] static Tokenizer byte_level(Vocabulary vocabulary);

  /// SentencePiece BPE (Llama 1 and 2): characters, neighbours merged where the joined token has the best score;
  /// characters without a token become byte tokens <0x00>..<0xFF>.
  [[nodiscard]] static Tokenizer sentence_piece(Vocabulary vocabulary);

  /// From the metadata of a model file.
  [[nodiscard]] static Tokenizer from_gguf(const planish::io::GgufFile& file);

  /// From a llama2.c tokenizer file (`tok512.bin`), which does not say how many tokens it holds: until its end.
  [[nodiscard]] static Tokenizer from_llama2c(const std::string& path);

  /// The ids of a text, without a beginning-of-sequence token. Bytes that are not UTF-8 are words of their own.
  [[nodiscard]] std::vector<int> encode(std::string_view text, SpecialTokens special = SpecialTokens::as_text) const;

  /// The same, after the beginning-of-sequence token if the model asks for one: a prompt.
  [[nodiscard]] std::vector<int> encode_prompt(std::string_view text,
                                               SpecialTokens special = SpecialTokens::as_text) const;

  /// The text of the ids; special tokens are spelled out. Inverse of `encode` for byte-level BPE; a leading space that
  /// encoding added is taken off again.
  [[nodiscard]] std::string decode(std::span<const int> ids) const;

  /// The bytes of one token: what a generated token adds to the text. May be part of a UTF-8 character.
  [[nodiscard]] std::string_view piece(int id) const { return pieces_.at(static_cast<std::size_t>(id)); }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(pieces_.size()); }
  [[nodiscard]] std::optional<int> begin_token() const noexcept { return begin_; }
  [[nodiscard]] std::optional<int> end_token() const noexcept { return end_; }
  [[nodiscard]] bool adds_begin() const noexcept { return adds_begin_; }

  /// The id of a control or user-defined token by its name, if there is one.
  [[nodiscard]] std::optional<int> special_token(std::string_view name) const;

  /// True for control tokens, which are not part of the text that a reader sees.
  [[nodiscard]] bool is_control(int id) const { return types_.at(static_cast<std::size_t>(id)) == TokenType::control; }

  /// Tokens that end a text: the end token, <|endoftext|>, <|im_end|>, <|eot_id|> and the like, where the model has
  /// them.
  [[nodiscard]] std::vector<int> end_tokens() const;

 private:
  Tokenizer() = default;

  void take_common_parts(Vocabulary& vocabulary);
  void encode_plain(std::string_view text, std::vector<int>& ids) const;
  void encode_words(std::string_view text, std::vector<int>& ids) const;
  void encode_characters(std::string_view text, std::vector<int>& ids) const;

  std::vector<std::string> pieces_;                    ///< bytes by id
  std::vector<TokenType> types_;                       ///< by id
  std::vector<std::pair<std::string, int>> specials_;  ///< name and id, longest first
  std::vector<int> byte_ids_;                          ///< 256 token ids, -1 where a byte has none
  std::unordered_map<std::string, int> ids_by_piece_;
  PairMerges merges_;
  std::optional<WordSplitter> splitter_;  ///< byte-level only; SentencePiece works on whole texts
  std::optional<int> begin_, end_, unknown_;
  bool adds_begin_ = false;
  bool adds_space_prefix_ = false;
};

}  // namespace llama
