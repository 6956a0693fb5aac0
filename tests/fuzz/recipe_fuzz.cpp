// A recipe string: parsed, and spelled again when it is one.
#include <llama/recipe.hpp>

#include "target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto recipe = llama::parse_recipe(fuzz::text_of({data, size}));
  if (!recipe) {
    fuzz::require_sentence(recipe.status().message());
    return 0;
  }
  const auto again = llama::parse_recipe(llama::to_string(*recipe));
  fuzz::require(again.has_value() && *again == *recipe);
  return 0;
}
