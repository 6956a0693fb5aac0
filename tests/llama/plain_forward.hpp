#pragma once
// The whole decoder in plain loops and in double: what every way to write and load a model is compared with.
#include <cmath>
#include <string>
#include <vector>

#include "plain_matrix.hpp"
#include "random_model.hpp"

namespace llama::test {

/// RMSNorm of pieces of `gain.size()` values.
inline void normalise(Matrix& x, const std::vector<float>& gain, double epsilon) {
  for (std::size_t at = 0; at < x.values.size(); at += gain.size()) {
    double sum = 0.0;
    for (std::size_t i = 0; i < gain.size(); ++i) sum += x.values[at + i] * x.values[at + i];
    const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(gain.size()) + epsilon);
    for (std::size_t i = 0; i < gain.size(); ++i) x.values[at + i] *= inverse * static_cast<double>(gain[i]);
  }
}

/// Every head of row p to position p.
inline void turn(Matrix& x, const Config& c) {
  const auto size = static_cast<std::size_t>(c.head_size), turned = c.rotary_frequencies.size();
  const bool halves = c.pairs == RotaryPairs::halves;
  for (std::size_t p = 0; p < x.rows; ++p)
    for (std::size_t head = 0; head < x.columns; head += size)
      for (std::size_t i = 0; i < turned; ++i) {
        double& a = x.at(p, head + (halves ? i : 2 * i));
        double& b = x.at(p, head + (halves ? i + turned : 2 * i + 1));
        const double angle = static_cast<double>(p) * c.rotary_frequencies[i], before = a;
        a = before * std::cos(angle) - b * std::sin(angle);
        b = before * std::sin(angle) + b * std::cos(angle);
      }
}

/// Causal softmax attention; query heads share key and value heads in order.
inline Matrix attend(const Matrix& query, const Matrix& key, const Matrix& value, const Config& c) {
  const auto size = static_cast<std::size_t>(c.head_size), group = static_cast<std::size_t>(c.heads / c.kv_heads);
  Matrix y(query.rows, query.columns);
  for (std::size_t head = 0; head < static_cast<std::size_t>(c.heads); ++head)
    for (std::size_t p = 0; p < query.rows; ++p) {
      std::vector<double> weights(p + 1);
      double sum = 0.0;
      for (std::size_t t = 0; t <= p; ++t) {
        for (std::size_t i = 0; i < size; ++i)
          weights[t] += query.at(p, head * size + i) * key.at(t, head / group * size + i);
        sum += weights[t] = std::exp(weights[t] / std::sqrt(static_cast<double>(size)));
      }
      for (std::size_t t = 0; t <= p; ++t)
        for (std::size_t i = 0; i < size; ++i)
          y.at(p, head * size + i) += weights[t] / sum * value.at(t, head / group * size + i);
    }
  return y;
}

/// Logits of every position, in double, rounded once.
inline std::vector<float> plain_logits(const RandomModel& model, const std::vector<int>& ids) {
  const Config& c = model.config();
  const auto epsilon = static_cast<double>(c.norm_epsilon);
  const auto hidden = static_cast<std::size_t>(c.hidden_size);
  const auto project = [&](const Matrix& x, const std::string& name) {
    Matrix y = times(x, Matrix(model.values(name), x.columns), /*transposed=*/true);
    if (!model.has(name + ".bias")) return y;
    const std::vector<float>& bias = model.values(name + ".bias");
    for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += static_cast<double>(bias[i % bias.size()]);
    return y;
  };
  const auto add = [](Matrix& x, const Matrix& y) {
    for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values[i];
  };
  Matrix x(ids.size(), hidden);
  for (std::size_t p = 0; p < ids.size(); ++p)
    for (std::size_t i = 0; i < hidden; ++i)
      x.at(p, i) = static_cast<double>(model.values("embedding")[static_cast<std::size_t>(ids[p]) * hidden + i]);
  for (index l = 0; l < c.layers; ++l) {
    const auto of = [l](const char* what) { return layer_tensor(l, what); };
    Matrix normed = x;
    normalise(normed, model.values(of("attention_norm")), epsilon);
    Matrix query = project(normed, of("q")), key = project(normed, of("k"));
    if (c.head_norms) {
      normalise(query, model.values(of("q_norm")), epsilon);
      normalise(key, model.values(of("k_norm")), epsilon);
    }
    turn(query, c);
    turn(key, c);
    add(x, project(attend(query, key, project(normed, of("v")), c), of("o")));
    normed = x;
    normalise(normed, model.values(of("mlp_norm")), epsilon);
    Matrix gate = project(normed, of("gate"));
    const Matrix up = project(normed, of("up"));
    for (std::size_t i = 0; i < gate.values.size(); ++i)
      gate.values[i] *= up.values[i] / (1.0 + std::exp(-gate.values[i]));
    add(x, project(gate, of("down")));
  }
  normalise(x, model.values("norm"), epsilon);
  const Matrix logits = project(x, c.tied_head ? "embedding" : "head");
  return {logits.values.begin(), logits.values.end()};
}

}  // namespace llama::test
