#pragma once
#include <array>
#include <vector>

#include "weight_source.hpp"

namespace llama {

/// The float weights of one layer, as the file has them.
struct LayerWeights {
  std::vector<float> attention_gain, mlp_gain;
  std::vector<float> query_gain, key_gain;                      // of a head, or empty where heads meet no norm
  std::array<std::vector<float>, projections.size()> matrices;  // out × in, by Projection
  std::array<std::vector<float>, projections.size()> biases;    // out, or empty
};

[[nodiscard]] inline LayerWeights read_layer(const WeightSource& source, index layer) {
  const Config& config = source.config();
  LayerWeights weights;
  weights.attention_gain = source.read(layer_tensor(layer, "attention_norm"), {1, config.hidden_size});
  weights.mlp_gain = source.read(layer_tensor(layer, "mlp_norm"), {1, config.hidden_size});
  if (config.head_norms) {
    weights.query_gain = source.read(layer_tensor(layer, "q_norm"), {1, config.head_size});
    weights.key_gain = source.read(layer_tensor(layer, "k_norm"), {1, config.head_size});
  }
  for (Projection p : projections) {
    const auto i = static_cast<std::size_t>(p);
    const std::string name = layer_tensor(layer, name_of(p));
    weights.matrices[i] = source.read(name, shape_of(p, config));
    weights.biases[i] = source.read_if_present(name + ".bias", shape_of(p, config).rows);
  }
  return weights;
}

}  // namespace llama
