// A text and the vocabulary of a GGUF file.
#include <planish/io/gguf.hpp>

#include "tokenizer_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto [text, bytes] = fuzz::split({data, size});
  const auto file = planish::io::GgufFile::from(fuzz::file_of(bytes));
  if (file) fuzz::require_tokenizer(text, [&] { return llama::Tokenizer::from_gguf(*file); });
  return 0;
}
