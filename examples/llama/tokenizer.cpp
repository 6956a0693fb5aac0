#include "tokenizer.hpp"

#include <algorithm>

#include <planish/io/gguf.hpp>

#include "require.hpp"
#include "token_spelling.hpp"
#include "white_space.hpp"

namespace llama {

Tokenizer::Tokenizer(const Vocabulary& vocabulary)
    : types_(vocabulary.types),
      spaces_taken_(vocabulary.spaces_taken),
      kind_(vocabulary.kind),
      begin_(vocabulary.begin),
      end_(vocabulary.end),
      unknown_(vocabulary.unknown),
      adds_begin_(vocabulary.adds_begin),
      adds_space_prefix_(vocabulary.adds_space_prefix),
      prefixes_once_(vocabulary.prefixes_once),
      prefixes_if_missing_(vocabulary.prefixes_if_missing),
      takes_whole_words_(vocabulary.takes_whole_words),
      fuses_unknown_(vocabulary.fuses_unknown) {
  const std::size_t count = vocabulary.tokens.size();
  if (count == 0) fail("the tokenizer has no tokens");
  if (count > std::size_t{1} << 24) fail("the tokenizer claims ", count, " tokens");
  if (types_.empty()) types_.assign(count, TokenType::normal);
  if (types_.size() != count) fail("the tokenizer has ", count, " tokens, but ", types_.size(), " token types");
  for (const auto& id : {begin_, end_, unknown_})
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= count))
      fail("the tokenizer names token ", *id, " but has only ", count);
  if (adds_begin_ && !begin_) fail("the tokenizer asks for a beginning-of-sequence token but names none");

  if (!vocabulary.pre.empty())
    splitter_.emplace(std::string_view(vocabulary.pre));
  else if (kind_ == TokenizerKind::byte_level || !vocabulary.splits.empty())
    splitter_.emplace(std::span<const SplitStep>(vocabulary.splits));
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
  std::unordered_map<std::string, int> others;  // tokens that no text becomes by itself, but merges may name
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& token = vocabulary.tokens[i];
    const bool normal = tokenizer.types_[i] == TokenType::normal;
    std::string piece = normal ? spelled_bytes(token).value_or(token) : token;
    if (!normal) others.try_emplace(spelled_bytes(token).value_or(token), static_cast<int>(i));
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
      const auto found = piece ? tokenizer.id_of(*piece) : std::nullopt;
      const auto other = piece && !found ? others.find(*piece) : others.end();
      return other != others.end() ? std::optional(other->second) : found;
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
  if (vocabulary.merges.empty() && vocabulary.scores.size() != count)
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

  for (std::size_t rank = 0; rank < vocabulary.merges.size(); ++rank) {
    const std::string& merge = vocabulary.merges[rank];
    const std::size_t space = std::min(merge.find(' '), merge.size());
    const std::string left = with_spaces(merge.substr(0, space));
    const std::string right = with_spaces(merge.substr(std::min(space + 1, merge.size())));
    const auto left_id = tokenizer.id_of(left), right_id = tokenizer.id_of(right),
               joined = tokenizer.id_of(left + right);
    if (!left_id || !right_id || !joined)
      fail("merge ", rank, " of the tokenizer, '", merge, "', names a token that the vocabulary lacks");
    tokenizer.merges_.add(*left_id, *right_id, static_cast<int>(rank), *joined);
  }
  if (!vocabulary.merges.empty()) return tokenizer;

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

Tokenizer Tokenizer::from_file(const std::string& path) {
  if (path.ends_with(".gguf")) return from_gguf(require(planish::io::GgufFile::open(path)));
  const auto read = path.ends_with(".json")    ? read_hugging_face_vocabulary
                    : path.ends_with(".model") ? read_sentence_piece_vocabulary
                                               : read_llama2c_vocabulary;
  const Vocabulary vocabulary = read(path);
  try {
    return from(vocabulary);
  } catch (const Error& error) {
    fail(path, ": ", error.what());
  }
}

std::vector<int> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids;
  const auto is_found = [&](int id) {
    return special == SpecialTokens::parsed || types_[static_cast<std::size_t>(id)] == TokenType::user_defined;
  };
  std::array<bool, 256> starts_a_name{};
  for (const auto& [name, id] : specials_)
    if (is_found(id)) starts_a_name[static_cast<unsigned char>(name.front())] = true;
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto found =
        !starts_a_name[static_cast<unsigned char>(text[i])]
            ? specials_.end()
            : std::find_if(specials_.begin(), specials_.end(), [&](const auto& candidate) {
                return text.substr(i, candidate.first.size()) == candidate.first && is_found(candidate.second);
              });
    if (found == specials_.end()) {
      ++i;
      continue;
    }
    const auto taken = spaces_taken_.find(found->second);
    const SpacesTaken spaces = taken == spaces_taken_.end() ? SpacesTaken{} : taken->second;
    const std::string_view before = text.substr(plain_from, i - plain_from);
    encode_plain(before.substr(0, before.size() - (spaces.before ? trailing_space(before) : 0)), plain_from == 0, ids);
    ids.push_back(found->second);
    i += found->first.size();
    if (spaces.after) i += leading_space(text.substr(i));
    plain_from = i;
  }
  encode_plain(text.substr(plain_from), plain_from == 0, ids);
  return ids;
}

std::vector<int> Tokenizer::encode_prompt(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids = encode(text, special);
  if (adds_begin_) ids.insert(ids.begin(), *begin_);
  return ids;
}

void Tokenizer::encode_plain(std::string_view text, bool is_start, std::vector<int>& ids) const {
  if (text.empty()) return;
  std::string prefixed;
  const bool is_spelled_out = kind_ == TokenizerKind::sentence_piece && text.find(space_mark) != std::string_view::npos;
  if (is_spelled_out) text = prefixed = with_spaces(text);
  if (adds_space_prefix_ && (is_start || !prefixes_once_) && !(prefixes_if_missing_ && text.front() == ' '))
    text = prefixed = ' ' + std::string(text);
  if (kind_ == TokenizerKind::byte_level)
    encode_words(text, ids);
  else if (splitter_)
    splitter_->for_each_word(text, [&](std::string_view word) { encode_characters(word, ids); });
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
      encode_word(word, word_ids);
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

void Tokenizer::encode_word(std::string_view word, std::vector<int>& ids) const {
  if (const auto whole = takes_whole_words_ ? id_of(std::string(word)) : std::nullopt) return ids.push_back(*whole);
  for (const char c : word)
    if (const int id = byte_ids_[static_cast<unsigned char>(c)]; id >= 0) ids.push_back(id);
  merges_.apply(ids);
}

void Tokenizer::encode_characters(std::string_view text, std::vector<int>& ids) const {
  std::vector<int> pieces;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    append_character(text.substr(0, length), pieces);
    text.remove_prefix(length);
  }
  merges_.apply(pieces);
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

void Tokenizer::append_character(std::string_view character, std::vector<int>& ids) const {
  if (const auto id = id_of(std::string(character))) return ids.push_back(*id);
  const auto byte_id = [this](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
  if (std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char c : character) ids.push_back(byte_id(c));
  } else if (unknown_ && !(fuses_unknown_ && !ids.empty() && ids.back() == *unknown_)) {
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
