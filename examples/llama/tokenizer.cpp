#include "tokenizer.hpp"

#include <algorithm>

#include <planish/io/gguf.hpp>

#include "error.hpp"

namespace llama {
namespace {

/// GPT-2 spells each byte as a printable character: those that are printable in Latin-1 as themselves, the others as
/// U+0100, U+0101 and so on. Returns the byte by character; -1 where there is none.
std::array<int, 512> byte_by_character() {
  std::array<int, 512> bytes;
  bytes.fill(-1);
  std::size_t further = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[printable ? static_cast<std::size_t>(byte) : further++] = byte;
  }
  return bytes;
}

/// The bytes that a token of a byte-level vocabulary spells, or nothing if it does not use that spelling.
std::optional<std::string> spelled_bytes(std::string_view token) {
  static const std::array<int, 512> bytes = byte_by_character();
  std::string result;
  for (std::size_t i = 0; i < token.size(); ++i) {
    auto character = static_cast<unsigned char>(token[i]);
    std::size_t code = character;
    if (character >= 0x80) {  // two bytes of UTF-8 reach every character of the spelling
      if ((character & 0xe0) != 0xc0 || ++i == token.size()) return std::nullopt;
      code = static_cast<std::size_t>(character & 0x1f) << 6 | (static_cast<unsigned char>(token[i]) & 0x3f);
    }
    if (code >= bytes.size() || bytes[code] < 0) return std::nullopt;
    result += static_cast<char>(bytes[code]);
  }
  return result;
}

/// The byte of a token that reads <0x0A>.
std::optional<unsigned char> byte_of(std::string_view token) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return std::nullopt;
  if (digit(token[3]) < 0 || digit(token[4]) < 0) return std::nullopt;
  return static_cast<unsigned char>(digit(token[3]) * 16 + digit(token[4]));
}

/// SentencePiece writes a space as U+2581.
std::string with_spaces(std::string_view token) {
  constexpr std::string_view mark = "\u2581";
  std::string text(token);
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; ++at) text.replace(at, mark.size(), 1, ' ');
  return text;
}

/// Length in bytes of the UTF-8 character that starts here; 1 for bytes that start none.
std::size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return std::min(length, text.size());
}

}  // namespace

Tokenizer::Tokenizer(const Vocabulary& vocabulary)
    : types_(vocabulary.types),
      begin_(vocabulary.begin),
      end_(vocabulary.end),
      unknown_(vocabulary.unknown),
      adds_begin_(vocabulary.adds_begin),
      adds_space_prefix_(vocabulary.adds_space_prefix) {
  const std::size_t count = vocabulary.tokens.size();
  if (count == 0) fail("the tokenizer has no tokens");
  if (count > std::size_t{1} << 24) fail("the tokenizer claims ", count, " tokens");
  if (types_.empty()) types_.assign(count, TokenType::normal);
  if (types_.size() != count) fail("the tokenizer has ", count, " tokens, but ", types_.size(), " token types");
  for (const auto& id : {begin_, end_, unknown_})
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= count))
      fail("the tokenizer names token ", *id, " but has only ", count);
  if (adds_begin_ && !begin_) fail("the tokenizer asks for a beginning-of-sequence token but names none");

  byte_ids_.fill(-1);
  pieces_.reserve(count);
  ids_.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    if (types_[i] == TokenType::control || types_[i] == TokenType::user_defined)
      if (!vocabulary.tokens[i].empty()) specials_.emplace_back(vocabulary.tokens[i], static_cast<int>(i));
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

Tokenizer Tokenizer::byte_level(const Vocabulary& vocabulary) {
  Tokenizer tokenizer(vocabulary);
  tokenizer.splitter_.emplace(vocabulary.pre);
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& token = vocabulary.tokens[i];
    const bool normal = tokenizer.types_[i] == TokenType::normal;
    std::string piece = normal ? spelled_bytes(token).value_or(token) : token;
    if (normal) {
      tokenizer.ids_.try_emplace(piece, static_cast<int>(i));
      if (piece.size() == 1) tokenizer.byte_ids_[static_cast<unsigned char>(piece[0])] = static_cast<int>(i);
    }
    tokenizer.pieces_.push_back(std::move(piece));
  }

  tokenizer.merges_.reserve(vocabulary.merges.size());
  for (std::size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const std::string& merge = vocabulary.merges[rank];
    const std::size_t space = merge.find(' ');
    const auto left = spelled_bytes(std::string_view(merge).substr(0, space));
    const auto right = spelled_bytes(space == std::string::npos ? "" : std::string_view(merge).substr(space + 1));
    const auto id = [&](const std::optional<std::string>& piece) {
      return piece ? tokenizer.id_of(*piece) : std::nullopt;
    };
    const auto left_id = id(left), right_id = id(right);
    const auto joined = left && right ? id(*left + *right) : std::nullopt;
    if (!left_id || !right_id || !joined)
      fail("merge ", rank, " of the tokenizer, '", merge, "', names a token that the vocabulary lacks");
    tokenizer.merges_.add(*left_id, *right_id, static_cast<int>(rank), *joined);
  }
  return tokenizer;
}

Tokenizer Tokenizer::sentence_piece(const Vocabulary& vocabulary) {
  Tokenizer tokenizer(vocabulary);
  const std::size_t count = vocabulary.tokens.size();
  if (vocabulary.scores.size() != count)
    fail("the tokenizer has ", count, " tokens, but ", vocabulary.scores.size(), " scores");
  for (std::size_t i = 0; i < count; ++i) {
    const auto byte = byte_of(vocabulary.tokens[i]);
    if (byte) {
      tokenizer.types_[i] = TokenType::byte;
      tokenizer.byte_ids_[*byte] = static_cast<int>(i);
      tokenizer.pieces_.emplace_back(1, static_cast<char>(*byte));
    } else {
      tokenizer.pieces_.push_back(with_spaces(vocabulary.tokens[i]));
      if (tokenizer.types_[i] == TokenType::normal)
        tokenizer.ids_.try_emplace(tokenizer.pieces_[i], static_cast<int>(i));
    }
  }

  std::vector<float> ranked = vocabulary.scores;  // best first, each once
  for (const float score : ranked)
    if (score != score) fail("the tokenizer has a score that is not a number");
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());
  for (const auto& [piece, joined] : tokenizer.ids_) {
    const float score = vocabulary.scores[static_cast<std::size_t>(joined)];
    const auto rank = std::lower_bound(ranked.begin(), ranked.end(), score, std::greater<>()) - ranked.begin();
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {  // every way to make this token of two others
      const auto left = tokenizer.id_of(piece.substr(0, cut)), right = tokenizer.id_of(piece.substr(cut));
      if (left && right) tokenizer.merges_.add(*left, *right, static_cast<int>(rank), joined);
    }
  }
  return tokenizer;
}

Tokenizer Tokenizer::from(const Vocabulary& vocabulary) {
  return vocabulary.kind == TokenizerKind::byte_level ? byte_level(vocabulary) : sentence_piece(vocabulary);
}

Tokenizer Tokenizer::from_gguf(const planish::io::GgufFile& file) {
  const Vocabulary vocabulary = read_gguf_vocabulary(file);
  try {
    return from(vocabulary);
  } catch (const Error& error) {
    fail(file.path(), ": ", error.what());
  }
}

Tokenizer Tokenizer::from_llama2c(const std::string& path) { return from(read_llama2c_vocabulary(path)); }

std::vector<int> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids;
  if (special == SpecialTokens::as_text || specials_.empty()) {
    encode_plain(text, ids);
    return ids;
  }
  std::array<bool, 256> starts_a_name{};
  for (const auto& [name, id] : specials_) starts_a_name[static_cast<unsigned char>(name.front())] = true;
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto found = !starts_a_name[static_cast<unsigned char>(text[i])]
                           ? specials_.end()
                           : std::find_if(specials_.begin(), specials_.end(), [&](const auto& candidate) {
                               return text.substr(i, candidate.first.size()) == candidate.first;
                             });
    if (found == specials_.end()) {
      ++i;
      continue;
    }
    encode_plain(text.substr(plain_from, i - plain_from), ids);
    ids.push_back(found->second);
    i += found->first.size();
    plain_from = i;
  }
  encode_plain(text.substr(plain_from), ids);
  return ids;
}

std::vector<int> Tokenizer::encode_prompt(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids = encode(text, special);
  if (adds_begin_) ids.insert(ids.begin(), *begin_);
  return ids;
}

void Tokenizer::encode_plain(std::string_view text, std::vector<int>& ids) const {
  if (text.empty()) return;
  if (splitter_)
    encode_words(text, ids);
  else
    encode_characters(text, ids);
}

void Tokenizer::encode_words(std::string_view text, std::vector<int>& ids) const {
  struct Place {
    std::size_t first, count;
  };
  std::unordered_map<std::string_view, Place> seen;  // where in `ids` the same word was encoded before
  std::vector<int> word_ids;
  splitter_->for_each_word(text, [&](std::string_view word) {
    const auto [place, is_new] = seen.try_emplace(word);
    if (is_new) {
      word_ids.clear();
      append_bytes(word, word_ids);
      merges_.apply(word_ids);
      place->second = {ids.size(), word_ids.size()};
      ids.insert(ids.end(), word_ids.begin(), word_ids.end());
    } else {
      for (std::size_t i = 0; i < place->second.count; ++i) {
        const int id = ids[place->second.first + i];
        ids.push_back(id);
      }
    }
  });
}

void Tokenizer::encode_characters(std::string_view text, std::vector<int>& ids) const {
  std::string prefixed;
  if (adds_space_prefix_) {
    prefixed = ' ' + std::string(text);
    text = prefixed;
  }
  std::vector<int> pieces;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    if (const auto id = id_of(std::string(text.substr(0, length))))
      pieces.push_back(*id);
    else
      append_bytes(text.substr(0, length), pieces);
    text.remove_prefix(length);
  }
  merges_.apply(pieces);
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

void Tokenizer::append_bytes(std::string_view bytes, std::vector<int>& ids) const {
  for (const char c : bytes) {
    const int id = byte_ids_[static_cast<unsigned char>(c)];
    if (id >= 0)
      ids.push_back(id);
    else if (!splitter_ && unknown_)
      ids.push_back(*unknown_);
  }
}

std::optional<int> Tokenizer::id_of(const std::string& piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::string Tokenizer::decode(std::span<const int> ids) const {
  std::string text;
  for (const int id : ids)
    if (!is_control(id)) text += piece(id);
  if (adds_space_prefix_ && !text.empty() && text.front() == ' ') text.erase(0, 1);
  return text;
}

std::optional<int> Tokenizer::special_token(std::string_view name) const {
  for (const auto& [known, id] : specials_)
    if (known == name) return id;
  return std::nullopt;
}

std::vector<int> Tokenizer::end_tokens() const {
  std::vector<int> ids;
  const auto add = [&](const std::optional<int>& id) {
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  add(end_);
  for (const std::string_view name : {"<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "</s>"})
    add(special_token(name));
  return ids;
}

}  // namespace llama
