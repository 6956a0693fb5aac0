#pragma once
#include <string>

#include <nlohmann/json.hpp>

#include "vocabulary.hpp"

namespace llama {

/// Reads how a Hugging Face tokenizer changes and cuts text (`normalizer`, `pre_tokenizer`; either may be null) into
/// `kind`, `splits` and the rules for a leading space. Throws Error, naming the file and the step that is not
/// supported.
void read_hugging_face_splits(const nlohmann::json& tokenizer, const std::string& path, Vocabulary& vocabulary);

}  // namespace llama
