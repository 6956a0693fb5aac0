#include "method_options.hpp"

#include <cmath>
#include <map>
#include <optional>

#include <planish/backend/enable_amx.hpp>
#include <planish/calibration/tape/split_products.hpp>

#include "../error.hpp"

namespace llama {
namespace {

using planish::calibration::FactorForm;
using planish::calibration::FactorStart;
using planish::calibration::FlatQuant;
using planish::calibration::Loss;
using planish::calibration::Products;
using planish::calibration::ScaleForm;

const std::map<std::string, FactorForm> factor_forms{{"free", FactorForm::free}, {"svd", FactorForm::svd}};
const std::map<std::string, FactorStart> factor_starts{{"hadamard", FactorStart::hadamard},
                                                       {"haar", FactorStart::haar},
                                                       {"cayley", FactorStart::cayley},
                                                       {"identity", FactorStart::identity}};
const std::map<std::string, ScaleForm> scale_forms{
    {"linear", ScaleForm::linear}, {"exponential", ScaleForm::exponential}, {"softplus", ScaleForm::softplus}};
const std::map<std::string, bool> shared_clips{{"shared", true}, {"consumer", false}};
const std::map<std::string, bool> centre_words{{"yes", true}, {"no", false}};
const std::map<std::string, Loss> losses{
    {"mse", Loss::mean_squared_error}, {"mae", Loss::mean_absolute_error}, {"huber", Loss::huber}};

/// None: the fastest that this machine has.
const std::map<std::string, std::optional<Products>> product_words{{"auto", std::nullopt},
                                                                   {"float32", Products::float32},
                                                                   {"split-bfloat16", Products::split_bfloat16},
                                                                   {"int16", Products::int16},
                                                                   {"int8", Products::int8}};

Products fastest_products() {
  static_cast<void>(planish::enable_amx());  // what is missing, the next says
  return planish::calibration::tape::can_split_products().ok() ? Products::split_bfloat16 : Products::int8;
}

/// The words of an enumeration, in the order of its values.
template <class Value, std::size_t count>
std::map<std::string, Value> by_word(const std::array<std::string_view, count>& words) {
  std::map<std::string, Value> named;
  for (std::size_t i = 0; i < count; ++i) named.emplace(words[i], static_cast<Value>(i));
  return named;
}

const std::map<std::string, Objective> objectives = by_word<Objective>(objective_words);
const std::map<std::string, Inputs> input_words = by_word<Inputs>(inputs_words);
const std::map<std::string, Inputs> rounding_input_words{{"float", Inputs::plain}, {"quantized", Inputs::quantized}};

template <class Value>
std::vector<std::string> words(const std::map<std::string, Value>& named) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : named) keys.push_back(key);
  return keys;
}

template <class Value>
std::string joined(const std::map<std::string, Value>& named) {
  std::string text;
  for (const auto& [key, value] : named) text += (text.empty() ? "" : "|") + key;
  return text;
}

template <class Value, class Target>
void set(Target& target, const std::optional<Value>& given) {
  if (given) target = *given;
}

template <class Value>
void set(Value& target, const std::optional<std::string>& word, const std::map<std::string, Value>& named) {
  if (word) target = named.at(*word);
}

}  // namespace

FlatQuant MethodOptions::method() const {
  FlatQuant made = preset == "published" ? FlatQuant::published() : FlatQuant{};
  set(made.epochs, epochs);
  set(made.batch, batch);
  set(made.weight_epochs, weight_epochs);
  set(made.weight_rate, weight_rate);
  set(made.learning_rate, learning_rate);
  set(made.clip_rate_factor, clip_rate_factor);
  if (clip_start) made.clip_logit = std::log(*clip_start / (1.0 - *clip_start));
  set(made.adamw.beta1, beta1);
  set(made.adamw.beta2, beta2);
  set(made.adamw.weight_decay, weight_decay);
  set(made.alpha, alpha);
  set(made.factor_form, factor, factor_forms);
  set(made.factor_start, start, factor_starts);
  set(made.scale_form, scale, scale_forms);
  set(made.shared_clip, clips, shared_clips);
  set(made.loss, loss, losses);
  if (products) {
    const auto& named = product_words.at(*products);
    made.products = named ? *named : fastest_products();
  }
  for (const std::string& component : without) {
    if (component == "transform") made.learns_transform = false;
    if (component == "scale") made.learns_scale = false;
    if (component == "clip") made.learns_clip = false;
  }
  set(made.centres, centre, centre_words);
  made.seed = seed;
  return made;
}

CalibrationOptions MethodOptions::options(const Recipe& recipe, index window) const {
  CalibrationOptions made{.recipe = recipe,
                          .method = method(),
                          .window = window,
                          .objective = objectives.at(objective),
                          .inputs = input_words.at(inputs),
                          .weight_inputs = input_words.at(weight_inputs.value_or(inputs)),
                          .rounding_inputs = input_words.at(rounding_inputs)};
  if (made.objective == Objective::weight && !recipe.quantizes_weights())
    fail("--objective weight: recipe ", to_string(recipe), " keeps weights in float; use layer, module or block");
  if (made.method.weight_epochs > 0 && !recipe.quantizes_weights())
    fail("--weight-epochs ", made.method.weight_epochs, ": recipe ", to_string(recipe), " keeps weights in float");
  if (made.method.weight_epochs > 0 && recipe.rounding != Rounding::nearest)
    fail("--weight-epochs ", made.method.weight_epochs, ": recipe ", to_string(recipe),
         " rounds weights that were not learned; leave +gptq or +mse out, learned weights lie on their grid");
  if (centre == "yes" && !recipe.quantizes_activations())
    fail("--centre yes: recipe ", to_string(recipe), " keeps activations in float, whose mean costs nothing");
  made.method.centres = made.method.centres && recipe.quantizes_activations();
  if (weight_inputs && made.method.weight_epochs == 0)
    fail("--weight-inputs ", *weight_inputs, ": without --weight-epochs no weights learn");
  if (made.rounding_inputs != Inputs::plain && recipe.rounding != Rounding::gptq)
    fail("--rounding-inputs ", rounding_inputs, ": only +gptq reads inputs to round");
  return made;
}

void add_method_options(CLI::App& command, MethodOptions& options) {
  const char* group = "Method";
  const auto word = [&](const std::string& name, auto& target, const auto& named, const std::string& text) {
    command.add_option(name, target, text)
        ->check(CLI::IsMember(words(named)))
        ->option_text(joined(named))
        ->group(group);
  };
  command
      .add_option("--preset", options.preset,
                  "Where the options below start: planish's own choice, or the paper's recipe. [default]")
      ->check(CLI::IsMember(std::vector<std::string>{"default", "published"}))
      ->option_text("default|published")
      ->group(group);
  command.add_option("--epochs", options.epochs, "Passes over the windows. [15]")
      ->check(CLI::Range(1, 10000))
      ->option_text("N")
      ->group(group);
  command.add_option("--batch", options.batch, "Windows per step. [1; published: 4]")
      ->check(CLI::Range(index{1}, index{1} << 16))
      ->option_text("N")
      ->group(group);
  command.add_option("--learning-rate", options.learning_rate, "Peak rate of transforms. [0.01; published: 0.005]")
      ->check(CLI::PositiveNumber)
      ->option_text("X")
      ->group(group);
  command
      .add_option("--weight-epochs", options.weight_epochs,
                  "Passes behind those in which the weights themselves learn what they are rounded to, and clips, with "
                  "transforms as they are by then; 0: none. [0]")
      ->check(CLI::Range(0, 10000))
      ->option_text("N")
      ->group(group);
  command
      .add_option("--weight-rate", options.weight_rate, "Peak rate of weights, in steps of their row's grid. [0.008]")
      ->check(CLI::PositiveNumber)
      ->option_text("X")
      ->group(group);
  command.add_option("--clip-rate", options.clip_rate_factor, "Clips learn so many times faster; 0: they stay. [10]")
      ->check(CLI::NonNegativeNumber)
      ->option_text("X")
      ->group(group);
  command.add_option("--clip-start", options.clip_start, "Share of a range that clips start with. [0.982]")
      ->check(CLI::Range(0.01, 0.9999))
      ->option_text("X")
      ->group(group);
  command.add_option("--beta1", options.beta1, "AdamW's share of the mean gradient that a step keeps. [0.9]")
      ->check(CLI::Range(0.0, 0.99999))
      ->option_text("X")
      ->group(group);
  command.add_option("--beta2", options.beta2, "The same of the mean square. [0.999]")
      ->check(CLI::Range(0.0, 0.99999))
      ->option_text("X")
      ->group(group);
  command.add_option("--weight-decay", options.weight_decay, "AdamW's weight decay. [0.01]")
      ->check(CLI::NonNegativeNumber)
      ->option_text("X")
      ->group(group);
  command.add_option("--alpha", options.alpha, "Exponent of the scales' start, max|W|^(1-A) / max|X|^A. [0.3]")
      ->check(CLI::Range(0.0, 1.0))
      ->option_text("A")
      ->group(group);
  word("--centre", options.centre, centre_words,
       "Take the mean of every channel away from what layers read before it is transformed; a bias gives it back. A "
       "subtraction per channel while the model runs. [yes; published: no]");
  word("--factor", options.factor, factor_forms,
       "Kronecker factors as F(I + D), or as U diag(s) V' by the Cayley map. [free; published: svd]");
  word("--start", options.start, factor_starts, "Where factors start. [hadamard; published: cayley]");
  word("--scale-form", options.scale, scale_forms,
       "How scales stay positive; linear does not guard them. [exponential; published: linear]");
  word("--clips", options.clips, shared_clips,
       "One pair of activation clips per site, or one per matrix that reads it. [shared; published: consumer]");
  word("--loss", options.loss, losses, "How an error counts. [huber; published: mse]");
  word(
      "--products", options.products, product_words,
      "Large products in float32; or split-bfloat16: of operands split into pairs of bfloat16 on the matrix tiles of a "
      "CPU with AMX-BF16, faster and with 16 bits of significand; or int16 or int8: gradients rounded to so many bits "
      "where they meet codes, faster on every CPU with vectors of integers; auto: split-bfloat16 where there are such "
      "tiles, else int8. [float32]");
  word("--objective", options.objective, objectives,
       "Whose error: of weights, of the outputs of linear layers, of attention and MLP, of the block. [block]");
  word("--inputs", options.inputs, input_words,
       "What a block learns from: the float model's activations (blocks are independent), those of the quantized "
       "blocks before it, or a mix number by number. [float]");
  word("--weight-inputs", options.weight_inputs, input_words,
       "What a block learns its weights from, in the passes of --weight-epochs. [as --inputs]");
  word("--rounding-inputs", options.rounding_inputs, rounding_input_words,
       "What +gptq takes second moments of. [float]");
  command
      .add_option("--without", options.without,
                  "Leave a component at its neutral value: transform, scale, clip. May come several times.")
      ->check(CLI::IsMember(std::vector<std::string>{"transform", "scale", "clip"}))
      ->option_text("COMPONENT")
      ->group(group);
  command.add_option("--seed", options.seed, "Of the starts and of the choice of windows. [1]")
      ->option_text("N")
      ->group(group);
}

}  // namespace llama
