#include "recipe.hpp"

#include <algorithm>
#include <cstddef>

namespace llama {
namespace {

using planish::ErrorCode;
using planish::Status;

constexpr std::string_view stage_names[] = {"shift", "scale", "hadamard", "kronecker", "flatquant"};
constexpr std::string_view rounding_names[] = {"nearest", "mse", "gptq"};
constexpr std::string_view site_names[] = {"attn", "o", "mlp", "down"};
constexpr std::size_t longest_recipe = 200;
constexpr std::size_t longest_word = 24;  // quoted in a message beside the whole recipe
constexpr int largest_group = 1 << 20;

/// The value whose name this is: names are listed in the order of the enumeration.
template <class Value, std::size_t Count>
std::optional<Value> value_named(std::string_view name, const std::string_view (&names)[Count]) {
  for (std::size_t i = 0; i < Count; ++i)
    if (names[i] == name) return static_cast<Value>(i);
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads the grammar from left to right. The first failure is kept and everything after it does nothing.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  planish::Result<Recipe> parse() {
    if (text_.size() > longest_recipe)
      return Status(ErrorCode::invalid_argument, "a recipe has at most ", longest_recipe, " characters; this one has ",
                    text_.size());
    for (char c : text_)
      if (c <= ' ' || c > '~')
        return Status(ErrorCode::invalid_argument,
                      "a recipe holds letters, digits, '+', ',' and '=' only: ", recipe_grammar);
    if (text_ == "fp32") return Recipe{};
    if (take("fp32")) fail(rest(), "fp32 takes nothing after it; w16a16 does");

    expect("w", "a recipe is fp32 or starts with w<bits>");
    recipe_.weight_bits = bits("weights");
    expect("a", "a<bits> follows the bits of the weights");
    recipe_.activation_bits = bits("activations");
    const std::size_t static_position = position_;
    recipe_.static_activations = take("s");
    cache();
    const std::size_t group_position = position_;
    if (take("g")) recipe_.group_size = number(1, largest_group, "a group has 1 to 1048576 columns");
    std::size_t rounding_position = 0;
    while (take("+")) stage_or_rounding(rounding_position);
    while (take(",")) site_override();
    if (!at_end())
      fail(rest(),
           "expected [s][kv<b>|k<b>v<b>][g<n>]{+<stage>}[+mse|+gptq][+bf16][+q8p8]{,<site>=w<b>a<b>}, in this order");

    if (recipe_.static_activations && !recipe_.quantizes_activations())
      fail_at(static_position, 1, "static scales need activations of 8 bits or fewer");
    if (recipe_.group_size != 0 && !recipe_.quantizes_weights())
      fail_at(group_position, position_ - group_position, "groups need weights of 8 bits or fewer");
    if (recipe_.rounding != Rounding::nearest && !recipe_.quantizes_weights())
      fail_at(rounding_position, to_string(recipe_.rounding).size(), "rounding needs weights of 8 bits or fewer");
    if (recipe_.bfloat16_transforms && !recipe_.has(StageKind::kronecker) && !recipe_.has(StageKind::flatquant))
      fail_at(bfloat16_position_, 4, "bf16 rounds Kronecker products: it needs kronecker or flatquant");
    if (recipe_.integer_attention && !recipe_.quantizes_cache())
      fail_at(integer_attention_position_, 4, "integer attention needs cached keys or values of 8 bits or fewer");
    if (!status_.ok()) return status_;
    return std::move(recipe_);
  }

 private:
  void cache() {
    if (take("kv")) {
      recipe_.key_bits = recipe_.value_bits = bits("cached keys and values");
    } else if (take("k")) {
      recipe_.key_bits = bits("cached keys");
      expect("v", "v<bits> follows the bits of the keys");
      recipe_.value_bits = bits("cached values");
    }
  }

  void stage_or_rounding(std::size_t& rounding_position) {
    const std::size_t start = position_;
    const std::string_view name = word();
    const auto stage = value_named<StageKind>(name, stage_names);
    const auto rounding = value_named<Rounding>(name, rounding_names);
    if (recipe_.integer_attention) {
      fail_at(start, name.size(), "q8p8 comes once, after all stages and roundings");
    } else if (name == "q8p8") {
      recipe_.integer_attention = true;
      integer_attention_position_ = start;
    } else if (recipe_.bfloat16_transforms) {
      fail_at(start, name.size(), "bf16 comes once, after all stages and roundings and before q8p8");
    } else if (name == "bf16") {
      recipe_.bfloat16_transforms = true;
      bfloat16_position_ = start;
    } else if (recipe_.rounding != Rounding::nearest) {
      fail_at(start, name.size(), "mse or gptq comes once, after all stages");
    } else if (stage) {
      if (recipe_.has(*stage)) fail_at(start, name.size(), "each stage may appear once");
      if (recipe_.has(StageKind::flatquant) || (*stage == StageKind::flatquant && !recipe_.stages.empty()))
        fail_at(start, name.size(), "flatquant stands alone: it brings the whole transform of every site");
      recipe_.stages.push_back(*stage);
    } else if (rounding && *rounding != Rounding::nearest) {
      recipe_.rounding = *rounding;
      rounding_position = start;
    } else {
      fail_at(start, name.size(),
              "allowed after '+': shift, scale, hadamard, kronecker, flatquant, then mse or gptq, then bf16, and last "
              "q8p8");
    }
  }

  void site_override() {
    const std::size_t start = position_;
    const std::string_view name = word();
    const auto site = value_named<SiteKind>(name, site_names);
    if (!site) return fail_at(start, name.size(), "allowed after ',': attn, o, mlp, down, as in down=w8a8");
    auto& chosen = recipe_.overrides[static_cast<std::size_t>(*site)];
    if (chosen) fail_at(start, name.size(), "each site may be overridden once");
    expect("=w", "an override reads <site>=w<bits>a<bits>");
    SiteBits site_bits;
    site_bits.weight = bits("weights");
    expect("a", "a<bits> follows the bits of the weights");
    site_bits.activation = bits("activations");
    chosen = site_bits;
  }

  int bits(std::string_view of) {
    const std::size_t start = position_;
    const int value = number(0, 9999, "expected a number of bits: 2 to 8, or 16 for float32");
    if ((value < 2 || value > 8) && value != 16) {
      subject_ = of;
      fail_at(start, position_ - start, " take 2 to 8 bits, or 16 for float32");
    }
    return value;
  }

  int number(int least, int most, std::string_view rule) {
    const std::size_t start = position_;
    int value = 0;
    while (!at_end() && is_digit(text_[position_])) value = std::min(value * 10 + (text_[position_++] - '0'), most + 1);
    if (position_ == start)
      fail(rest(), rule);
    else if (value < least || value > most)
      fail_at(start, position_ - start, rule);
    return value;
  }

  std::string_view word() {
    const std::size_t start = position_;
    while (!at_end() && text_[position_] != '+' && text_[position_] != ',' && text_[position_] != '=') ++position_;
    return text_.substr(start, position_ - start);
  }

  bool take(std::string_view expected) {
    if (!status_.ok() || text_.substr(position_, expected.size()) != expected) return false;
    position_ += expected.size();
    return true;
  }

  void expect(std::string_view expected, std::string_view rule) {
    if (!take(expected)) fail(rest(), rule);
  }

  [[nodiscard]] bool at_end() const { return position_ >= text_.size(); }
  [[nodiscard]] std::string_view rest() const { return text_.substr(std::min(position_, text_.size())); }

  void fail(std::string_view part, std::string_view rule) { fail_at(position_, part.size(), rule); }
  void fail_at(std::size_t start, std::size_t length, std::string_view rule) {
    if (!status_.ok()) return;
    if (length == 0 || start >= text_.size())
      status_ =
          Status(ErrorCode::invalid_argument, "recipe '", text_, "' at character ", start + 1, ": ", subject_, rule);
    else
      status_ = Status(ErrorCode::invalid_argument, "recipe '", text_, "' at character ", start + 1, ", '",
                       text_.substr(start, std::min(length, longest_word)),
                       length > longest_word ? "...': " : "': ", subject_, rule);
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t bfloat16_position_ = 0, integer_attention_position_ = 0;
  std::string_view subject_;  ///< begins the sentence of the rule
  Recipe recipe_;
  Status status_;
};

std::string bits_text(int weight, int activation) {
  return "w" + std::to_string(weight) + "a" + std::to_string(activation);
}

}  // namespace

SiteBits Recipe::bits_at(SiteKind site) const noexcept {
  return overrides[static_cast<std::size_t>(site)].value_or(SiteBits{weight_bits, activation_bits});
}

bool Recipe::has(StageKind stage) const noexcept {
  return std::find(stages.begin(), stages.end(), stage) != stages.end();
}

bool Recipe::is_float() const noexcept {
  return !quantizes_weights() && !quantizes_activations() && !quantizes_cache() && stages.empty();
}

bool Recipe::quantizes_weights() const noexcept {
  return std::any_of(site_kinds.begin(), site_kinds.end(), [&](SiteKind site) { return bits_at(site).weight < 16; });
}

bool Recipe::quantizes_activations() const noexcept {
  return std::any_of(site_kinds.begin(), site_kinds.end(),
                     [&](SiteKind site) { return bits_at(site).activation < 16; });
}

bool Recipe::needs_statistics() const noexcept {
  return static_activations || rounding == Rounding::gptq || has(StageKind::shift) || has(StageKind::scale);
}

bool Recipe::needs_parameters() const noexcept { return has(StageKind::flatquant); }

planish::Result<Recipe> parse_recipe(std::string_view text) { return Parser(text).parse(); }

std::string to_string(const Recipe& recipe) {
  if (recipe == Recipe{}) return "fp32";
  std::string text = bits_text(recipe.weight_bits, recipe.activation_bits);
  if (recipe.static_activations) text += 's';
  if (recipe.quantizes_cache()) {
    if (recipe.key_bits == recipe.value_bits)
      text += "kv" + std::to_string(recipe.key_bits);
    else
      text += "k" + std::to_string(recipe.key_bits) + "v" + std::to_string(recipe.value_bits);
  }
  if (recipe.group_size != 0) text += "g" + std::to_string(recipe.group_size);
  for (const StageKind stage : recipe.stages) text += '+' + std::string(to_string(stage));
  if (recipe.rounding != Rounding::nearest) text += '+' + std::string(to_string(recipe.rounding));
  if (recipe.bfloat16_transforms) text += "+bf16";
  if (recipe.integer_attention) text += "+q8p8";
  for (const SiteKind site : site_kinds)
    if (const auto& bits = recipe.overrides[static_cast<std::size_t>(site)])
      text += ',' + std::string(to_string(site)) + '=' + bits_text(bits->weight, bits->activation);
  return text;
}

std::string_view to_string(StageKind stage) noexcept { return stage_names[static_cast<std::size_t>(stage)]; }
std::string_view to_string(Rounding rounding) noexcept { return rounding_names[static_cast<std::size_t>(rounding)]; }
std::string_view to_string(SiteKind site) noexcept { return site_names[static_cast<std::size_t>(site)]; }

}  // namespace llama
