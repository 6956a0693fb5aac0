#pragma once
// A block of the random model with what its learning needs: hidden states of random ids, weights, tables.
#include <vector>

#include "llama/calibration/block_calibration.hpp"
#include "llama/calibration/learned_block.hpp"
#include "random_model.hpp"

namespace llama::test {

inline constexpr index window = 9, windows = 2;

/// Hidden states of random ids, tokens × hidden size.
template <class T>
std::vector<T> hidden_states(const WeightSource& source) {
  const Config& config = source.config();
  const auto ids = random_ids(17, window * windows, config.vocabulary);
  std::vector<T> hidden;
  for (int id : ids) {
    std::vector<float> row(static_cast<std::size_t>(config.hidden_size));
    source.read_rows("embedding", {config.vocabulary, config.hidden_size}, id, 1, row.data());
    hidden.insert(hidden.end(), row.begin(), row.end());
  }
  return hidden;
}

inline SiteMagnitudes ones(const Config& config) {
  SiteMagnitudes magnitudes;
  for (SiteKind kind : site_kinds)
    magnitudes[static_cast<std::size_t>(kind)].assign(static_cast<std::size_t>(channels_at(kind, config)), 1.0f);
  return magnitudes;
}

template <class T>
struct Fixture {
  explicit Fixture(RotaryPairs pairs, std::string_view spelled = "w4a4kv4+flatquant")
      : source(3, pairs),
        config(source.config()),
        layer(read_layer(source, 0)),
        weights(config, layer),
        rotary(window, config.rotary_frequencies),
        recipe(require(parse_recipe(spelled))),
        hidden(hidden_states<T>(source)) {}

  BlockGraph<T> graph() const { return {config, weights, rotary, window}; }
  tape::Variable<T> input(tape::Tape<T>& on) const {
    return on.constant({hidden.data(), window * windows, config.hidden_size});
  }
  template <class Hooks>
  tape::Variable<T> forward(tape::Tape<T>& on, const Hooks& hooks) const {
    return graph().forward(hooks, input(on));
  }
  std::vector<T> teacher() const {
    tape::Tape<T> on;
    const auto y = forward(on, FloatHooks<T>{&weights}).value();
    return {y.data(), y.data() + y.size()};
  }

  RandomModel source;
  const Config& config;
  LayerWeights layer;
  TapeWeights<T> weights;
  tape::RotaryTable<T> rotary;
  Recipe recipe;
  std::vector<T> hidden;
};

}  // namespace llama::test
