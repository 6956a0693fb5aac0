#pragma once
#include <string>

#include "../recipe.hpp"

namespace llama {

/// A recipe's bits as a sentence: "4-bit weights with one scale per row, 4-bit activations, 4-bit keys and values."
[[nodiscard]] std::string bits_in_words(const Recipe& recipe);

}  // namespace llama
