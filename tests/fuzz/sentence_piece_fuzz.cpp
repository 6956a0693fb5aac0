// A text and a SentencePiece model.
#include "scratch_file.hpp"
#include "tokenizer_target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::ScratchFile scratch("tokenizer.model");
  const auto [text, bytes] = fuzz::split({data, size});
  const std::string& path = scratch.holding(bytes);
  fuzz::require_tokenizer(text, [&] { return llama::Tokenizer::from_file(path); });
  return 0;
}
