#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <planish/core/abi.hpp>

#include "word_patterns.hpp"

namespace planish::inline PLANISH_ABI::io {
class GgufFile;
}

namespace llama {

/// What a token is for, with the numbers that GGUF files use.
enum class TokenType : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// The two families of tokenizers; see Tokenizer.
enum class TokenizerKind : std::uint8_t { byte_level, sentence_piece };

/// Spaces beside a control or user-defined token that the token takes in.
struct SpacesTaken {
  bool before = false, after = false;
};

/// The plain data of a tokenizer, as model files hold it.
struct Vocabulary {
  TokenizerKind kind = TokenizerKind::byte_level;
  std::vector<std::string> tokens;  ///< by id, as spelled in the file
  std::vector<TokenType> types;     ///< by id; empty: all normal
  std::vector<std::string> merges;  ///< "left right", the first joins first; SentencePiece BPE may have scores instead
  std::vector<float> scores;        ///< SentencePiece BPE: by id, the largest joins first
  std::string pre;                  ///< byte-level BPE: the name of the pattern that cuts text into words; or
  std::vector<SplitStep> splits;    ///< the steps themselves, where `pre` is empty; SentencePiece BPE may have some too
  std::optional<int> begin;         ///< beginning-of-sequence token
  std::optional<int> end;           ///< end-of-sequence token
  std::optional<int> unknown;       ///< stands for characters without a token
  bool adds_begin = false;          ///< the model expects sequences to start with `begin`
  bool adds_space_prefix = false;   ///< text gets a leading space, also after each special token
  bool prefixes_once = false;       ///< that space comes at the start of the text only
  bool prefixes_if_missing = false;                   ///< that space comes only where there is none
  bool takes_whole_words = false;                     ///< byte-level BPE: a word that is a token needs no merges
  std::unordered_map<int, SpacesTaken> spaces_taken;  ///< by id, of those that take some
  bool fuses_unknown = false;  ///< SentencePiece BPE: one unknown token for neighbouring characters without one
};

/// Reads the `tokenizer.ggml.*` metadata of a model file. Throws Error, naming the file and the key.
[[nodiscard]] Vocabulary read_gguf_vocabulary(const planish::io::GgufFile& file);

/// Reads a Hugging Face tokenizer.json: BPE, byte-level or in the manner of SentencePiece. Whether sequences begin with
/// a token, and which ends them, comes from tokenizer_config.json and config.json beside it, where they say so. Throws
/// Error, naming the file and what is not supported.
[[nodiscard]] Vocabulary read_hugging_face_vocabulary(const std::string& path);

/// Reads a SentencePiece model (tokenizer.model) of the kind BPE. Throws Error, naming the file.
[[nodiscard]] Vocabulary read_sentence_piece_vocabulary(const std::string& path);

/// Reads a llama2.c tokenizer file: the longest length, then per token its score, its length and its bytes. The file
/// does not say how many tokens there are. Throws Error, naming the file.
[[nodiscard]] Vocabulary read_llama2c_vocabulary(const std::string& path);

}  // namespace llama
