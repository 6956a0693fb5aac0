#pragma once
// A small model with grouped-query attention, biases and an outlier channel, of random weights: every part of the
// architecture on awkward sizes, without a file.
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <planish/core/random.hpp>

#include "llama/build.hpp"
#include "llama/session.hpp"

namespace llama::test {

class RandomModel final : public WeightSource {
 public:
  RandomModel(std::uint64_t seed, RotaryPairs pairs, bool tied = false) : RandomModel(seed, small(pairs, tied)) {}

  /// Of any sizes; `biases` for q, k and v.
  RandomModel(std::uint64_t seed, const Config& config, bool biases = true)
      : WeightSource("random model"), random_(seed) {
    config_ = config;
    add("embedding", {config_.vocabulary, config_.hidden_size}, 1.0);
    for (index id = 0; id < config_.vocabulary; ++id) at("embedding", id, 7) *= 30.0f;
    add("norm", {1, config_.hidden_size}, 1.0);
    if (!config_.tied_head) add("head", {config_.vocabulary, config_.hidden_size}, 0.5);
    for (index layer = 0; layer < config_.layers; ++layer) {
      add(layer_tensor(layer, "attention_norm"), {1, config_.hidden_size}, 1.0);
      add(layer_tensor(layer, "mlp_norm"), {1, config_.hidden_size}, 1.0);
      for (Projection p : projections) {
        const MatrixShape shape = shape_of(p, config_);
        const std::string name = layer_tensor(layer, name_of(p));
        add(name, shape, 1.0 / std::sqrt(static_cast<double>(shape.columns)));
        if (biases && site_of(p) == SiteKind::attention) add(name + ".bias", {1, shape.rows}, 0.3);
      }
      if (!config_.head_norms) continue;
      add(layer_tensor(layer, "q_norm"), {1, config_.head_size}, 1.0);
      add(layer_tensor(layer, "k_norm"), {1, config_.head_size}, 1.0);
    }
  }

  [[nodiscard]] static Config small(RotaryPairs pairs, bool tied = false) {
    return {.name = "random",
            .hidden_size = 40,
            .ffn_size = 56,
            .layers = 2,
            .heads = 6,
            .kv_heads = 2,
            .head_size = 8,
            .vocabulary = 97,
            .context = 64,
            .tied_head = tied,
            .pairs = pairs,
            .rotary_frequencies = rotary_frequencies(100.0, 8)};
  }

  [[nodiscard]] float& at(const std::string& name, index row, index column) {
    Stored& t = tensors_.at(name);
    return t.values[static_cast<std::size_t>(row * t.shape.columns + column)];
  }
  /// Calls `use(name, shape, values)` for every tensor.
  template <class Use>
  void for_each_tensor(Use&& use) const {
    for (const auto& [name, tensor] : tensors_) use(name, tensor.shape, tensor.values);
  }
  /// The values of a tensor.
  [[nodiscard]] std::vector<float>& values(const std::string& name) { return tensors_.at(name).values; }
  [[nodiscard]] const std::vector<float>& values(const std::string& name) const { return tensors_.at(name).values; }
  void remove(const std::string& name) { tensors_.erase(name); }
  void reshape(const std::string& name, MatrixShape shape) { tensors_.at(name).shape = shape; }

  [[nodiscard]] bool has(std::string_view name) const override { return tensors_.contains(std::string(name)); }
  [[nodiscard]] std::size_t stored_bytes(std::string_view name) const override {
    return tensors_.at(std::string(name)).values.size() * sizeof(float);
  }
  [[nodiscard]] std::string storage(std::string_view /*name*/) const override { return "F32"; }
  [[nodiscard]] std::string identity() const override { return std::string(64, 'a'); }

 private:
  struct Stored {
    MatrixShape shape;
    std::vector<float> values;
  };

  void add(const std::string& name, MatrixShape shape, double spread) {
    Stored& t = tensors_[name];
    t.shape = shape;
    for (index i = 0; i < shape.rows * shape.columns; ++i)
      t.values.push_back(static_cast<float>(spread * random_.normal() + (name.ends_with("norm") ? 2.0 : 0.0)));
  }

  [[nodiscard]] std::string file_name_of(std::string_view name) const override { return std::string(name); }
  [[nodiscard]] MatrixShape stored_shape(std::string_view name) const override {
    return tensors_.at(std::string(name)).shape;
  }
  void convert_rows(std::string_view name, index first, index count, float* out) const override {
    const Stored& t = tensors_.at(std::string(name));
    for (index i = 0; i < count * t.shape.columns; ++i) {
      const float value = t.values[static_cast<std::size_t>(first * t.shape.columns + i)];
      if (!std::isfinite(value)) refuse(name, "holds NaN or infinity");
      out[i] = value;
    }
  }

  planish::Random random_;
  std::map<std::string, Stored> tensors_;
};

inline std::vector<int> random_ids(std::uint64_t seed, index count, index vocabulary) {
  planish::Random random(seed);
  std::vector<int> ids;
  for (index i = 0; i < count; ++i)
    ids.push_back(static_cast<int>(random.below(static_cast<std::uint64_t>(vocabulary))));
  return ids;
}

/// The model of a recipe; what needs statistics gets them from random tokens.
inline Model model_of(const std::shared_ptr<const WeightSource>& source, const BuildOptions& options,
                      planish::SiteMode mode = planish::SiteMode::packed, ExecutorReference executor = {}) {
  const std::vector<std::vector<int>> sequences{random_ids(5, 40, source->config().vocabulary),
                                                random_ids(6, 23, source->config().vocabulary)};
  CalibrationPass pass(*source, sequences, executor);
  const StatisticsOf statistics = [&](index, const LayerWeights& weights) {
    return pass.next(weights, detail_for(options.recipe));
  };
  return build_model(source, options, statistics, executor, mode);
}

inline Model model_of(const std::shared_ptr<const WeightSource>& source, std::string_view recipe,
                      planish::SiteMode mode = planish::SiteMode::packed, ExecutorReference executor = {}) {
  return model_of(source, BuildOptions{.recipe = require(parse_recipe(recipe))}, mode, executor);
}

/// Logits of every position of a sequence, fed in pieces of the given length.
inline std::vector<float> logits_of(const Model& model, std::span<const int> ids, index piece,
                                    ExecutorReference executor = {}) {
  Session session(model, 1, static_cast<index>(ids.size()), executor);
  std::vector<float> logits;
  for (std::size_t at = 0; at < ids.size(); at += static_cast<std::size_t>(piece)) {
    const auto part = ids.subspan(at, std::min(static_cast<std::size_t>(piece), ids.size() - at));
    const auto rows = session.logits(session.forward(part));
    logits.insert(logits.end(), rows.data(), rows.data() + rows.size());
  }
  return logits;
}

/// |a − b| / |b| over all values.
inline double relative_difference(std::span<const float> a, std::span<const float> b) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return a.size() == b.size() ? std::sqrt(difference / size) : HUGE_VAL;
}

}  // namespace llama::test
