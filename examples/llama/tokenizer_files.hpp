#pragma once
#include <string>

namespace llama {

/// The file that holds the tokenizer of a model: a GGUF file itself; in the folder of a Hugging Face model, or beside
/// its weights, tokenizer.json, else tokenizer.model, else a llama2.c file (tokenizer.bin, tok512.bin and the like). A
/// file that is a tokenizer is itself. Throws Error if there is none.
[[nodiscard]] std::string find_tokenizer(const std::string& path);

/// The chat template that comes with the tokenizer in that file; throws Error if there is none.
[[nodiscard]] std::string read_chat_template(const std::string& tokenizer_path);

}  // namespace llama
