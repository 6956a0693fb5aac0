// A text and the vocabulary of a GGUF file: the first byte is the length of the text, then the text, then the file.
#include <algorithm>
#include <llama/error.hpp>
#include <llama/tokenizer.hpp>

#include <planish/io/gguf.hpp>

#include "target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> input(data + 1, size - 1);
  const std::size_t length = std::min<std::size_t>(data[0], input.size());
  const std::string_view text = fuzz::text_of(input.first(length));
  const auto file = planish::io::GgufFile::from(fuzz::file_of(input.subspan(length)));
  if (!file) return 0;
  try {
    const llama::Tokenizer tokenizer = llama::Tokenizer::from_gguf(*file);
    for (const auto special : {llama::SpecialTokens::as_text, llama::SpecialTokens::parsed}) {
      const std::vector<int> ids = tokenizer.encode_prompt(text, special);
      for (const int id : ids) fuzz::require(id >= 0 && id < tokenizer.size());
      static_cast<void>(tokenizer.decode(ids));
    }
    for (const int id : tokenizer.end_tokens()) static_cast<void>(tokenizer.piece(id));
  } catch (const llama::Error& error) {
    fuzz::require_sentence(std::string_view(error.what()).substr(0, planish::Status::capacity - 1));
  }
  return 0;
}
