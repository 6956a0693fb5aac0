#pragma once
#include <functional>
#include <memory>

#include "flatquant_build.hpp"
#include "model.hpp"
#include "recipe.hpp"
#include "statistics.hpp"

namespace llama {

/// The learned parameters of a layer, in the order of rotate_half.
using ParametersOf = std::function<FlatQuantParameters(index layer)>;

/// How a recipe becomes a model.
struct BuildOptions {
  Recipe recipe;
  float alpha = 0.5f;                   ///< SmoothQuant's exponent
  std::uint64_t seed = 1;               ///< of random matrices
  bool fake = false;                    ///< quantize, dequantize, multiply in float
  bool transforms_float_cache = false;  ///< keys and values meet their stages even where they stay float
  ParametersOf learned = {};            ///< of the stage flatquant
};

/// The part of a recipe's needs that ranges cannot meet.
[[nodiscard]] StatisticsDetail detail_for(const Recipe& recipe);

/// One layer of the recipe: transforms are found and folded into the weights stage by stage in float64, the part that a
/// producer can take is absorbed, and the weights are rounded. `statistics` and `learned` (in model order) may be null
/// where the recipe needs none. Throws Error; `where` names the layer.
[[nodiscard]] BlockParameters quantize_layer(const Config& config, const LayerWeights& weights,
                                             const BuildOptions& options, const LayerStatistics* statistics,
                                             const FlatQuantParameters* learned, const std::string& where,
                                             ExecutorReference executor);

/// The statistics of a layer, from a pass that runs along or from a store.
using StatisticsOf = std::function<LayerStatistics(index layer, const LayerWeights& weights)>;

/// Reads a layer and quantizes it. `statistics` may be empty where the recipe needs none; call with rising layers.
[[nodiscard]] BlockParameters build_layer(const WeightSource& source, index layer, const BuildOptions& options,
                                          const StatisticsOf& statistics, ExecutorReference executor);

/// All layers, one layer's floats in memory at a time, and the exact head.
[[nodiscard]] Model build_model(std::shared_ptr<const WeightSource> source, const BuildOptions& options,
                                const StatisticsOf& statistics, ExecutorReference executor,
                                planish::SiteMode mode = planish::SiteMode::packed);

}  // namespace llama
