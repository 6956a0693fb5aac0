#include "recipe_words.hpp"

namespace llama {
namespace {

std::string width(int bits) { return bits == 16 ? "float" : std::to_string(bits) + "-bit"; }

std::string cache_in_words(const Recipe& recipe) {
  if (recipe.key_bits == recipe.value_bits) return width(recipe.key_bits) + " keys and values";
  return width(recipe.key_bits) + " keys, " + width(recipe.value_bits) + " values";
}

std::string_view matrices_of(SiteKind kind) {
  switch (kind) {
    case SiteKind::attention:
      return "q, k, v";
    case SiteKind::output:
      return "o";
    case SiteKind::mlp:
      return "gate, up";
    case SiteKind::down:
      return "down";
  }
  return "";
}

}  // namespace

std::string bits_in_words(const Recipe& recipe) {
  std::string text = width(recipe.weight_bits) + " weights";
  if (recipe.weight_bits < 16)
    text += recipe.group_size == 0 ? " with one scale per row"
                                   : " with one scale per " + std::to_string(recipe.group_size) + " columns";
  text += ", " + width(recipe.activation_bits) + " activations";
  if (recipe.activation_bits < 16)
    text += recipe.static_activations ? " with calibrated scales" : " with one scale per token";
  text += ", " + cache_in_words(recipe);
  if (recipe.bfloat16_transforms) text += ", transforms in bfloat16";
  if (recipe.integer_attention) text += " met by 8-bit queries and probabilities";
  if (recipe.rounding == Rounding::gptq) text += "; weights rounded by GPTQ";
  if (recipe.rounding == Rounding::mse) text += "; weights rounded in ranges of least squared error";
  text += '.';
  for (SiteKind kind : site_kinds) {
    const auto& bits = recipe.overrides[static_cast<std::size_t>(kind)];
    if (bits)
      text += " At " + std::string(matrices_of(kind)) + ": " + width(bits->weight) + " weights, " +
              width(bits->activation) + " activations.";
  }
  text.front() = text.front() == 'f' ? 'F' : text.front();
  return text;
}

}  // namespace llama
