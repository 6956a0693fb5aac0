#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pair_merges.hpp"
#include "vocabulary.hpp"
#include "word_splitter.hpp"

namespace llama {

/// Whether text such as <|im_end|> is the control token of that name, or just characters. User-defined tokens are found
/// in any text.
enum class SpecialTokens : std::uint8_t { as_text, parsed };

/// Text to token ids and back. Immutable, so threads may share one. Every problem is an Error.
class Tokenizer {
 public:
  /// Byte-level BPE (GPT-2 and its heirs): text is cut into words by a pattern, words into bytes, and neighbours are
  /// joined in the order the merges are listed. A byte that has no token is left out.
  [[nodiscard]] static Tokenizer byte_level(const Vocabulary& vocabulary);

  /// SentencePiece BPE (Llama 1 and 2): text is cut into characters, and neighbours are joined in the order the merges
  /// are listed, or without merges into the token with the best score first. A character that has no token becomes byte
  /// tokens, or the unknown token where those are missing.
  [[nodiscard]] static Tokenizer sentence_piece(const Vocabulary& vocabulary);

  /// Of the kind that the vocabulary names.
  [[nodiscard]] static Tokenizer from(const Vocabulary& vocabulary);

  /// The one that a model file describes.
  [[nodiscard]] static Tokenizer from_gguf(const planish::io::GgufFile& file);

  /// From a llama2.c tokenizer file, such as tok512.bin.
  [[nodiscard]] static Tokenizer from_llama2c(const std::string& path);

  /// From any file that holds one: .gguf, .bin of llama2.c, .json of Hugging Face, .model of SentencePiece.
  [[nodiscard]] static Tokenizer from_file(const std::string& path);

  /// The ids of a text, without a beginning-of-sequence token. Spaces that a token takes in have no id.
  [[nodiscard]] std::vector<int> encode(std::string_view text, SpecialTokens special = SpecialTokens::as_text) const;

  /// The same, after the beginning-of-sequence token if the model asks for one.
  [[nodiscard]] std::vector<int> encode_prompt(std::string_view text,
                                               SpecialTokens special = SpecialTokens::as_text) const;

  /// The text of the ids, without control tokens and without the leading space that encoding may have added.
  [[nodiscard]] std::string decode(std::span<const int> ids) const;

  /// The bytes that one token adds to a text; may be a part of a UTF-8 character. Control tokens are spelled out.
  [[nodiscard]] std::string_view piece(int id) const { return pieces_.at(static_cast<std::size_t>(id)); }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(pieces_.size()); }
  [[nodiscard]] std::optional<int> begin_token() const noexcept { return begin_; }
  [[nodiscard]] std::optional<int> end_token() const noexcept { return end_; }

  /// True if the model expects sequences to start with the beginning-of-sequence token.
  [[nodiscard]] bool adds_begin() const noexcept { return adds_begin_; }

  /// The id of a control or user-defined token, such as <|im_end|>, if there is one.
  [[nodiscard]] std::optional<int> special_token(std::string_view name) const;

  /// True for tokens that are no part of the text a reader sees.
  [[nodiscard]] bool is_control(int id) const { return types_.at(static_cast<std::size_t>(id)) == TokenType::control; }

  /// Every token that ends a text or a turn: the end token and the common names for one, where the model has them.
  [[nodiscard]] std::vector<int> end_tokens() const;

 private:
  explicit Tokenizer(const Vocabulary& vocabulary);

  void encode_plain(std::string_view text, bool is_start, std::vector<int>& ids) const;
  void encode_words(std::string_view text, std::vector<int>& ids) const;
  void encode_characters(std::string_view text, std::vector<int>& ids) const;
  void encode_word(std::string_view word, std::vector<int>& ids) const;
  void append_character(std::string_view character, std::vector<int>& ids) const;
  [[nodiscard]] std::optional<int> id_of(const std::string& piece) const;

  std::vector<std::string> pieces_;                    ///< bytes by id
  std::vector<TokenType> types_;                       ///< by id
  std::unordered_map<std::string, int> ids_;           ///< of normal tokens, by piece
  std::vector<std::pair<std::string, int>> specials_;  ///< name and id, longest name first
  std::unordered_map<int, SpacesTaken> spaces_taken_;  ///< of specials, by id
  std::array<int, 256> byte_ids_;                      ///< -1 where a byte has no token
  PairMerges merges_;
  TokenizerKind kind_;
  std::optional<WordSplitter> splitter_;  ///< of byte-level BPE; SentencePiece mostly has no words
  std::optional<int> begin_, end_, unknown_;
  bool adds_begin_ = false;
  bool adds_space_prefix_ = false, prefixes_once_ = false, prefixes_if_missing_ = false;
  bool takes_whole_words_ = false, fuses_unknown_ = false;
};

}  // namespace llama
