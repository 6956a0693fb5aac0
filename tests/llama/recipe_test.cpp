#include "llama/recipe.hpp"

#include <string>

#include <doctest/doctest.h>

#include "messages.hpp"

using namespace llama;
using llama::test::contains;

namespace {

Recipe recipe(std::string_view text) {
  auto result = parse_recipe(text);
  INFO(text, ": ", std::string(result.status().message()));
  REQUIRE(result.has_value());
  return *std::move(result);
}

std::string error(std::string_view text) {
  const auto result = parse_recipe(text);
  INFO(text);
  REQUIRE_FALSE(result.has_value());
  return std::string(result.status().message());
}

}  // namespace

TEST_CASE("fp32 changes nothing") {
  const Recipe r = recipe("fp32");
  CHECK(r == Recipe{});
  CHECK(r.is_float());
  CHECK_FALSE(r.needs_statistics());
  CHECK_FALSE(r.needs_parameters());
  CHECK(recipe("w16a16") == r);
  CHECK_FALSE(recipe("w16a16+hadamard").is_float());
}

TEST_CASE("every part of the grammar is read") {
  const Recipe r = recipe("w4a8sk3v2g128+shift+scale+hadamard+kronecker+gptq+bf16+q8p8,down=w8a16,attn=w3a4");
  CHECK(r.weight_bits == 4);
  CHECK(r.activation_bits == 8);
  CHECK(r.static_activations);
  CHECK(r.key_bits == 3);
  CHECK(r.value_bits == 2);
  CHECK(r.group_size == 128);
  CHECK(r.stages == std::vector{StageKind::shift, StageKind::scale, StageKind::hadamard, StageKind::kronecker});
  CHECK(r.rounding == Rounding::gptq);
  CHECK(r.integer_attention);
  CHECK(r.bfloat16_transforms);
  CHECK_FALSE(recipe("w4a4+kronecker").bfloat16_transforms);
  CHECK_FALSE(recipe("w4a4kv4+mse").integer_attention);
  CHECK(r.bits_at(SiteKind::attention) == SiteBits{3, 4});
  CHECK(r.bits_at(SiteKind::output) == SiteBits{4, 8});
  CHECK(r.bits_at(SiteKind::mlp) == SiteBits{4, 8});
  CHECK(r.bits_at(SiteKind::down) == SiteBits{8, 16});
}

TEST_CASE("stages keep the order of the text") {
  CHECK(recipe("w4a4+hadamard+scale").stages == std::vector{StageKind::hadamard, StageKind::scale});
}

TEST_CASE("what a recipe needs") {
  CHECK_FALSE(recipe("w4a4kv4+hadamard+kronecker+mse").needs_statistics());
  CHECK(recipe("w8a8+scale").needs_statistics());
  CHECK(recipe("w8a8+shift").needs_statistics());
  CHECK(recipe("w8a8s").needs_statistics());
  CHECK(recipe("w4a16+gptq").needs_statistics());
  CHECK_FALSE(recipe("w4a4kv4+flatquant").needs_statistics());
  CHECK(recipe("w4a4kv4+flatquant").needs_parameters());
  CHECK_FALSE(recipe("w4a4kv4+scale").needs_parameters());
}

TEST_CASE("the spelling of a recipe gives the recipe back") {
  for (const std::string_view text : default_recipes) CHECK(to_string(recipe(text)) == text);
  for (int weight = 2; weight <= 9; ++weight)
    for (int activation = 2; activation <= 9; ++activation)
      for (const std::string_view rest :
           {"", "kv4", "k8v3", "k16v4", "g32", "kv2g7+shift", "+scale+mse", "+kronecker,o=w8a8", "kv16",
            "+flatquant,mlp=w16a16", "kv4+q8p8", "k16v4+flatquant+q8p8,o=w8a8", "kv4+flatquant+bf16",
            "+kronecker+mse+bf16,down=w8a8"}) {
        const std::string text = "w" + std::to_string(weight == 9 ? 16 : weight) + "a" +
                                 std::to_string(activation == 9 ? 16 : activation) + std::string(rest);
        const auto parsed = parse_recipe(text);
        if (!parsed) continue;  // groups and rounding of float weights
        INFO(text);
        CHECK(recipe(to_string(*parsed)) == *parsed);
      }
  CHECK(to_string(recipe("w4a4k4v4")) == "w4a4kv4");
  CHECK(to_string(recipe("w16a16")) == "fp32");
  CHECK(to_string(recipe("w4a4,down=w8a8,attn=w4a8")) == "w4a4,attn=w4a8,down=w8a8");
}

TEST_CASE("errors point at the part and say what is allowed") {
  struct Case {
    std::string_view text, place, rule;
  };
  for (const Case& c : {
           Case{"", "character 1", "fp32 or starts with w<bits>"},
           Case{"int8", "character 1, 'int8'", "fp32 or starts with w<bits>"},
           Case{"fp32+hadamard", "character 5, '+hadamard'", "w16a16"},
           Case{"w", "character 2", "2 to 8, or 16"},
           Case{"w9a8", "character 2, '9'", "weights take 2 to 8 bits, or 16"},
           Case{"w1a8", "character 2, '1'", "weights take 2 to 8 bits, or 16"},
           Case{"w99999999999999999999a8", "character 2", "2 to 8, or 16"},
           Case{"w4", "character 3", "a<bits>"},
           Case{"w4a0", "character 4, '0'", "activations take 2 to 8 bits"},
           Case{"w4a4kv", "character 7", "number of bits"},
           Case{"w4a4kv12", "character 7, '12'", "cached keys and values take"},
           Case{"w4a4k4", "character 7", "v<bits>"},
           Case{"w4a4g0", "character 6, '0'", "1 to 1048576 columns"},
           Case{"w4a4g", "character 6", "1 to 1048576 columns"},
           Case{"w4a4x", "character 5, 'x'", "in this order"},
           Case{"w4a4g32kv4", "character 8, 'kv4'", "in this order"},
           Case{"w4a4+hadamrd", "character 6, 'hadamrd'", "shift, scale, hadamard, kronecker, flatquant"},
           Case{"w4a4+", "character 6", "shift, scale"},
           Case{"w4a4+nearest", "'nearest'", "shift, scale"},
           Case{"w4a4+scale+scale", "character 12, 'scale'", "once"},
           Case{"w4a4+mse+scale", "character 10, 'scale'", "after all stages"},
           Case{"w4a4+mse+gptq", "character 10, 'gptq'", "after all stages"},
           Case{"w4a4,", "character 6", "attn, o, mlp, down"},
           Case{"w4a4,up=w8a8", "character 6, 'up'", "attn, o, mlp, down"},
           Case{"w4a4,down", "character 10", "<site>=w<bits>a<bits>"},
           Case{"w4a4,down=w8", "character 13", "a<bits>"},
           Case{"w4a4,down=w8a8,down=w4a4", "character 16, 'down'", "once"},
           Case{"w4a4,down=w8a8+scale", "'+scale'", "in this order"},
           Case{"w4a16s", "character 6, 's'", "activations of 8 bits or fewer"},
           Case{"w16a4g32", "character 6, 'g32'", "weights of 8 bits or fewer"},
           Case{"w16a4+gptq", "character 7, 'gptq'", "weights of 8 bits or fewer"},
           Case{"w4a4+q8p8", "character 6, 'q8p8'", "cached keys or values of 8 bits or fewer"},
           Case{"w4a4+hadamard+bf16", "character 15, 'bf16'", "needs kronecker or flatquant"},
           Case{"w4a4+kronecker+bf16+mse", "'mse'", "before q8p8"},
           Case{"w4a4+kronecker+bf16+bf16", "'bf16'", "once"},
           Case{"w4a4kv4+kronecker+q8p8+bf16", "'bf16'", "after all stages"},
           Case{"w4a4kv4+q8p8+mse", "'mse'", "after all stages"},
           Case{"w4a4kv4+q8p8+q8p8", "'q8p8'", "once"},
           Case{"w4 a4", "letters, digits", "w<2-8|16>"},
           Case{"w4\na4", "letters, digits", "w<2-8|16>"},
       }) {
    const std::string message = error(c.text);
    INFO(c.text, " -> ", message);
    CHECK(contains(message, c.place));
    CHECK(contains(message, c.rule));
    CHECK_FALSE(contains(message, "\n"));
  }
  CHECK(contains(error(std::string(5000, 'w')), "at most 200 characters"));
  // The longest recipe that is wrong almost from its start still leaves room for what is wrong, to the last word.
  for (const Case& c :
       {Case{"w4", "R...': ", "a<bits> follows the bits of the weights"},
        Case{"w4a4", "R...': ", "{,<site>=w<b>a<b>}, in this order"}, Case{"w4a4+", "R...': ", "and last q8p8"},
        Case{"w4a4,", "R...': ", "as in down=w8a8"}, Case{"w4a9", "'9': ", "take 2 to 8 bits, or 16 for float32"}}) {
    std::string text(c.text);
    text.resize(200, 'R');
    const std::string message = error(text);
    INFO(message);
    CHECK(contains(message, c.place));
    CHECK(message.ends_with(c.rule));
  }
}

TEST_CASE("overrides count when asking what is quantized") {
  const Recipe r = recipe("w16a16s,down=w8a8");
  CHECK(r.quantizes_weights());
  CHECK(r.quantizes_activations());
  CHECK_FALSE(r.quantizes_cache());
  CHECK_FALSE(r.is_float());
}
