#include "describe_method.hpp"

#include <cmath>
#include <cstdio>

#include "../json_output.hpp"

namespace llama {
namespace {

using planish::calibration::FactorForm;
using planish::calibration::FactorStart;
using planish::calibration::FlatQuant;
using planish::calibration::Loss;
using planish::calibration::ScaleForm;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string counted(index count, const std::string& what) {
  return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

std::string start_of(FactorStart start) {
  switch (start) {
    case FactorStart::hadamard:
      return "Hadamard with random signs";
    case FactorStart::haar:
      return "Haar rotation";
    case FactorStart::cayley:
      return "Cayley rotation of half a Haar matrix";
    case FactorStart::identity:
      return "identity";
  }
  return "";
}

std::string scale_of(ScaleForm form) {
  switch (form) {
    case ScaleForm::linear:
      return "unguarded";
    case ScaleForm::exponential:
      return "exponential";
    case ScaleForm::softplus:
      return "softplus";
  }
  return "";
}

std::string loss_of(const FlatQuant& m) {
  switch (m.loss) {
    case Loss::mean_squared_error:
      return "mean squared error";
    case Loss::mean_absolute_error:
      return "mean absolute error";
    case Loss::huber:
      return "Huber, bend at " + number(m.huber_factor) + " x the mean absolute error";
  }
  return "";
}

std::string objective_of(Objective objective) {
  switch (objective) {
    case Objective::weight:
      return "error of the weights";
    case Objective::layer:
      return "error of the linear layers' outputs";
    case Objective::module:
      return "error of the outputs of attention and MLP";
    case Objective::block:
      return "error of the block's output";
  }
  return "";
}

std::string inputs_of(Inputs inputs) {
  switch (inputs) {
    case Inputs::plain:
      return "of the float model";
    case Inputs::quantized:
      return "of the quantized blocks before";
    case Inputs::mixed:
      return "mixed from the float model's and the quantized blocks'";
  }
  return "";
}

std::string learned_of(const FlatQuant& m) {
  std::string text;
  const auto add = [&](bool learned, const char* what) {
    if (learned) text += (text.empty() ? "" : ", ") + std::string(what);
  };
  add(m.learns_transform, "transforms");
  add(m.learns_scale, "scales");
  add(m.learns_clip, "clips");
  add(m.weight_epochs > 0, "weights");
  return text.empty() ? "nothing" : text;
}

}  // namespace

MethodWords describe_method(const CalibrationJob& job) {
  const FlatQuant& m = job.options.method;
  MethodWords words{
      {"method", "FlatQuant"},
      {"learned", learned_of(m)},
      {"samples", counted(static_cast<index>(job.windows.size()), "window") + " of " +
                      std::to_string(job.options.window) + " tokens"},
      {"epochs", std::to_string(m.epochs)},
      {"batch", counted(m.batch, "window") + " a step"},
      {"learning rate", number(m.learning_rate) + ", by a cosine to " + number(m.last_rate_share) + " x"}};
  if (m.learns_clip) words.emplace_back("learning rate of clips", number(m.clip_rate_factor) + " x");
  if (m.weight_epochs > 0) {
    words.emplace_back("epochs of weights", std::to_string(m.weight_epochs) + ", transforms fixed");
    words.emplace_back("learning rate of weights", number(m.weight_rate) + " of a row's step, by the same cosine");
  }
  words.emplace_back("kept of moments", number(m.adamw.beta1) + " and " + number(m.adamw.beta2) + " a step");
  words.emplace_back("weight decay", number(m.adamw.weight_decay));
  if (m.learns_transform) {
    words.emplace_back("factors",
                       m.factor_form == FactorForm::free ? "F (I + D)" : "F U diag(s) V', U and V by Cayley");
    words.emplace_back("start of factors", start_of(m.factor_start));
  }
  if (m.centres) words.emplace_back("inputs of layers", "without their mean, which is a bias");
  if (m.learns_scale) {
    words.emplace_back("form of scales", scale_of(m.scale_form));
    words.emplace_back("start of scales", "max|W|^" + number(1.0 - m.alpha) + " / max|X|^" + number(m.alpha));
  }
  if (m.learns_clip) {
    words.emplace_back("activation clips", m.shared_clip ? "one pair per site" : "one pair per matrix");
    words.emplace_back("start of clips", number(1.0 / (1.0 + std::exp(-m.clip_logit))) + " of the range");
  }
  words.emplace_back("loss", loss_of(m));
  words.emplace_back("objective", objective_of(job.options.objective));
  words.emplace_back("inputs", inputs_of(job.options.inputs));
  if (m.weight_epochs > 0) words.emplace_back("inputs of weights", inputs_of(job.options.weight_inputs));
  if (job.options.recipe.rounding == Rounding::gptq)
    words.emplace_back("moments of GPTQ", inputs_of(job.options.rounding_inputs));
  if (m.products == planish::calibration::Products::split_bfloat16)
    words.emplace_back("products", "of pairs of bfloat16, by AMX");
  if (m.products == planish::calibration::Products::int16)
    words.emplace_back("products", "gradients rounded to 16 bits times codes");
  if (m.products == planish::calibration::Products::int8)
    words.emplace_back("products", "gradients rounded to 8 bits times codes");
  words.emplace_back("seed", std::to_string(m.seed));
  return words;
}

std::string method_json(const MethodWords& words) {
  Json json = Json::object();
  for (const auto& [what, is] : words) json[what] = is;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

MethodWords read_method(const std::string& text, const std::string& path) {
  const Json json = Json::parse(text, nullptr, false);
  MethodWords words;
  if (json.is_object())
    for (const auto& [what, is] : json.items())
      if (is.is_string()) words.emplace_back(what, is.get<std::string>());
  if (words.empty()) fail(path, ": the string 'calibration.method' is not a JSON object of words");
  return words;
}

}  // namespace llama
