#pragma once
#include <CLI/CLI.hpp>

#include "../calibration/options.hpp"

namespace llama {

/// The options of `calibrate` that say how something is learned; what is not given comes from the preset.
struct MethodOptions {
  std::string preset = "default";
  std::optional<int> epochs;
  std::optional<index> batch;
  std::optional<int> weight_epochs;
  std::optional<double> weight_rate;
  std::optional<double> learning_rate, clip_rate_factor, clip_start, beta1, beta2, weight_decay, alpha;
  std::optional<std::string> centre, factor, start, scale, clips, loss, products;
  std::vector<std::string> without;  // components that are not learned
  std::string objective = "block", inputs = "float", rounding_inputs = "float";
  std::optional<std::string> weight_inputs;
  std::uint64_t seed = 1;

  [[nodiscard]] planish::calibration::FlatQuant method() const;

  /// The whole. Throws Error where the objective has nothing to learn from.
  [[nodiscard]] CalibrationOptions options(const Recipe& recipe, index window) const;
};

void add_method_options(CLI::App& command, MethodOptions& options);

}  // namespace llama
