#pragma once
// What the targets of tokenizers share: an input is the length of a text in one byte, the text, then a file.
#include <algorithm>
#include <llama/error.hpp>
#include <llama/tokenizer.hpp>

#include "target.hpp"

namespace fuzz {

struct TextAndFile {
  std::string_view text;
  std::span<const std::uint8_t> file;
};

inline TextAndFile split(std::span<const std::uint8_t> input) {
  if (input.empty()) return {};
  const std::size_t length = std::min<std::size_t>(input[0], input.size() - 1);
  return {text_of(input.subspan(1, length)), input.subspan(1 + length)};
}

/// `make()` gives a tokenizer or refuses the file in one sentence; what it gives turns texts into ids that exist.
template <class Make>
void require_tokenizer(std::string_view text, Make make) {
  try {
    const llama::Tokenizer tokenizer = make();
    for (const auto special : {llama::SpecialTokens::as_text, llama::SpecialTokens::parsed}) {
      const std::vector<int> ids = tokenizer.encode_prompt(text, special);
      for (const int id : ids) require(id >= 0 && id < tokenizer.size());
      static_cast<void>(tokenizer.decode(ids));
    }
    for (const int id : tokenizer.end_tokens()) static_cast<void>(tokenizer.piece(id));
  } catch (const llama::Error& error) {
    require_sentence(std::string_view(error.what()).substr(0, planish::Status::capacity - 1));
  }
}

}  // namespace fuzz
