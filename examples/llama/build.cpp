#include "build.hpp"

namespace llama {

BlockParameters build_layer(const WeightSource& source, index layer, const BuildOptions& options,
                            const StatisticsOf& statistics, ExecutorReference executor) {
  const LayerWeights weights = read_layer(source, layer);
  if (options.recipe.is_float()) return float_parameters(source.config(), weights);
  std::optional<LayerStatistics> seen;
  if (options.recipe.needs_statistics()) seen = statistics(layer, weights);
  std::optional<FlatQuantParameters> learned;
  if (options.recipe.needs_parameters() && options.learned)
    learned = in_model_order(options.learned(layer), source.config());
  const std::string where = source.path() + ": layer " + std::to_string(layer);
  return quantize_layer(source.config(), weights, options, seen ? &*seen : nullptr, learned ? &*learned : nullptr,
                        where, executor);
}

Model build_model(std::shared_ptr<const WeightSource> source, const BuildOptions& options,
                  const StatisticsOf& statistics, ExecutorReference executor, planish::SiteMode mode) {
  const Config& config = source->config();
  std::vector<Block> blocks;
  for (index layer = 0; layer < config.layers; ++layer)
    blocks.emplace_back(config, build_layer(*source, layer, options, statistics, executor), mode,
                        source->path() + ": layer " + std::to_string(layer));
  auto norm = source->read("norm", {1, config.hidden_size});
  auto head = std::make_shared<const Head>(*source, 16);
  return Model(std::move(source), std::move(blocks), std::move(norm), std::move(head));
}

}  // namespace llama
