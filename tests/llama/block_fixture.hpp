#pragma once
// A block of the random model with what its learning needs: hidden states of random ids, weights, tables.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

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

/// Magnitudes of 1; `centred`: and a shift of every channel.
inline SiteStart ones(const Config& config, bool centred = false) {
  SiteStart start;
  planish::Random random(31);
  for (std::size_t i = 0; i < site_kinds.size(); ++i) {
    const auto channels = static_cast<std::size_t>(channels_at(site_kinds[i], config));
    start.magnitudes[i].assign(channels, 1.0f);
    for (std::size_t c = 0; centred && c < channels; ++c)
      start.shifts[i].push_back(0.3f * static_cast<float>(random.normal()));
  }
  return start;
}

template <class T>
struct Fixture {
  explicit Fixture(RotaryPairs pairs, std::string_view spelled = "w4a4kv4+flatquant")
      : Fixture(RandomModel::small(pairs), spelled) {}
  explicit Fixture(const Config& sizes, std::string_view spelled = "w4a4kv4+flatquant")
      : source(3, sizes),
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

/// Output of a run-time block, window by window.
inline std::vector<float> run_block(const Config& config, BlockParameters parameters, planish::SiteMode mode,
                                    std::vector<float> hidden) {
  const Block block(config, std::move(parameters), mode, "block");
  const Rope rope(config, window);
  BlockScratch scratch;
  for (index w = 0; w < windows; ++w) {
    const Segment segment{0, window};
    std::vector<planish::KvCache> caches;
    caches.push_back(block.make_cache(window));
    block.forward({hidden.data() + w * window * config.hidden_size, window, config.hidden_size},
                  {.segments = {&segment, 1}, .caches = caches, .rope = &rope, .scratch = &scratch});
  }
  return hidden;
}

/// Moves everything that is learned away from its start.
template <class T>
void disturb(LearnedBlock<T>& block, double size) {
  planish::Random random(9);
  for (auto& m : block.parameters().members())
    for (T& value : m.values) value += static_cast<T>(size * random.normal());
}

/// The gradient of `loss()` (1 × 1, recorded on the tape) against central differences, at `samples` elements of every
/// parameter: every element would be thousands of forward passes.
template <class Loss>
void check_gradient(LearnedBlock<double>& block, tape::Tape<double>& on, Loss&& loss, int samples) {
  block.parameters().clear_gradients();
  on.backward(loss());
  on.clear();
  double largest_of_all = 0.0;
  for (auto& m : block.parameters().members())
    for (double g : m.gradient) largest_of_all = std::max(largest_of_all, std::fabs(g));
  planish::Random random(4);
  for (auto& m : block.parameters().members()) {
    if (!m.learns) continue;
    CAPTURE(m.name);
    double largest = 0.01 * largest_of_all;  // differences of the loss know no smaller ones
    for (double g : m.gradient) largest = std::max(largest, std::fabs(g));
    for (int sample = 0; sample < samples; ++sample) {
      const auto i = static_cast<std::size_t>(random.below(m.values.size()));
      const double saved = m.values[i];
      const auto at = [&](double value) {
        m.values[i] = value;
        const double result = loss().value()(0, 0);
        on.clear();
        return result;
      };
      constexpr double step = 2e-6;
      const double difference = (at(saved + step) - at(saved - step)) / (2.0 * step);
      m.values[i] = saved;
      CAPTURE(i);
      CHECK(std::fabs(m.gradient[i] - difference) < 1e-6 * largest);
    }
  }
}

}  // namespace llama::test
