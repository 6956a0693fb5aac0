#include "calibrated_layers.hpp"

namespace llama {

CalibratedLayers::CalibratedLayers(const WeightSource& source, std::span<const std::vector<int>> windows,
                                   const CalibrationOptions& options, bool serves_inputs, ExecutorReference executor)
    : source_(&source), options_(&options), executor_(executor) {
  const bool has_moments = options.recipe.needs_statistics();
  if (serves_inputs || (has_moments && options.rounding_inputs == Inputs::quantized))
    quantized_.emplace(source, windows, executor);
  if (has_moments && options.rounding_inputs != Inputs::quantized) float_.emplace(source, windows, executor);
}

std::size_t CalibratedLayers::activation_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const auto* pass : {&float_, &quantized_})
    if (*pass) bytes += (*pass)->activation_bytes();
  return bytes;
}

BlockParameters CalibratedLayers::build(const FlatQuantParameters& learned) {
  const StatisticsDetail detail = detail_for(options_->recipe);
  return build_layer(
      *source_, layer_, {.recipe = options_->recipe, .learned = [&](index) { return learned; }},
      [&](index, const LayerWeights& weights) {
        return float_ ? float_->next(weights, detail) : quantized_->look(weights, detail);
      },
      executor_);
}

void CalibratedLayers::advance(BlockParameters built) {
  if (quantized_) quantized_->next(std::move(built));
  ++layer_;
}

}  // namespace llama
