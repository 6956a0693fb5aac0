#pragma once
#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include <planish/calibration/tape/activation.hpp>
#include <planish/calibration/tape/attention.hpp>
#include <planish/calibration/tape/norm.hpp>
#include <planish/calibration/tape/product.hpp>
#include <planish/calibration/tape/rope.hpp>

#include "../layer_weights.hpp"
#include "../site.hpp"

namespace llama {

namespace tape = planish::calibration::tape;
using planish::index;
using planish::MatrixView;

/// Weights of a layer as a tape reads them.
template <class T>
struct TapeWeights {
  std::vector<T> attention_gain, mlp_gain;
  std::array<std::vector<T>, projections.size()> matrices, biases;
  std::array<MatrixShape, projections.size()> shapes;

  TapeWeights(const Config& config, const LayerWeights& weights)
      : attention_gain(weights.attention_gain.begin(), weights.attention_gain.end()),
        mlp_gain(weights.mlp_gain.begin(), weights.mlp_gain.end()) {
    for (std::size_t i = 0; i < projections.size(); ++i) {
      matrices[i].assign(weights.matrices[i].begin(), weights.matrices[i].end());
      biases[i].assign(weights.biases[i].begin(), weights.biases[i].end());
      shapes[i] = shape_of(projections[i], config);
    }
  }

  [[nodiscard]] MatrixView<const T> matrix(Projection p) const {
    const auto i = static_cast<std::size_t>(p);
    return {matrices[i].data(), shapes[i].rows, shapes[i].columns};
  }
  [[nodiscard]] const std::vector<T>& bias(Projection p) const { return biases[static_cast<std::size_t>(p)]; }
};

/// What happens where a block is quantized. This one does nothing: the float model, the teacher.
template <class T>
struct FloatHooks {
  const TapeWeights<T>* weights;
  std::function<void(SiteKind, MatrixView<const T>)> see{};  ///< the input of every site, where it is set

  /// What each of the site's consumers reads.
  [[nodiscard]] std::vector<tape::Variable<T>> site(SiteKind kind, tape::Variable<T> x) const {
    if (see) see(kind, x.value());
    const auto consumers =
        std::count_if(projections.begin(), projections.end(), [kind](Projection p) { return site_of(p) == kind; });
    return std::vector<tape::Variable<T>>(static_cast<std::size_t>(consumers), x);
  }
  [[nodiscard]] tape::Variable<T> matrix(tape::Tape<T>& on, Projection p) const {
    return on.constant(weights->matrix(p));
  }
  [[nodiscard]] tape::Variable<T> bias(tape::Tape<T>& on, Projection p) const {
    const std::vector<T>& values = weights->bias(p);
    return on.constant({values.data(), 1, static_cast<index>(values.size())});
  }
  [[nodiscard]] tape::Variable<T> query(tape::Variable<T> x) const { return x; }
  [[nodiscard]] tape::Variable<T> key(tape::Variable<T> x) const { return x; }
  [[nodiscard]] tape::Variable<T> value(tape::Variable<T> x) const { return x; }
};

/// The forward pass of one pre-norm block in tape operations, the same arithmetic as Block::forward: x is tokens ×
/// hidden size, windows of `window` tokens one after the other. `hooks` say what is quantized, and how.
template <class T, class Hooks>
[[nodiscard]] tape::Variable<T> block_forward(const Config& config, const TapeWeights<T>& weights,
                                              const tape::RotaryTable<T>& rotary, index window, const Hooks& hooks,
                                              tape::Variable<T> x) {
  tape::Tape<T>& on = x.tape();
  const auto gain = [&](const std::vector<T>& values) {
    return on.constant({values.data(), 1, static_cast<index>(values.size())});
  };
  const auto multiply = [&](Projection p, tape::Variable<T> in) {
    const tape::Variable<T> y = tape::multiply_transposed(in, hooks.matrix(on, p));
    return weights.bias(p).empty() ? y : tape::add_to_rows(y, hooks.bias(on, p));
  };
  const auto epsilon = static_cast<T>(config.norm_epsilon);

  const auto attention_in = hooks.site(SiteKind::attention, tape::rms_norm(x, gain(weights.attention_gain), epsilon));
  const auto rotate = [&](tape::Variable<T> v) {
    const auto pairs = config.pairs == RotaryPairs::halves ? tape::RotaryPairs::halves : tape::RotaryPairs::interleaved;
    return tape::rotary_embedding(v, rotary, {.head_size = config.head_size, .window = window, .pairs = pairs});
  };
  const auto query = hooks.query(rotate(multiply(Projection::query, attention_in[0])));
  const auto key = hooks.key(rotate(multiply(Projection::key, attention_in[1])));
  const auto value = hooks.value(multiply(Projection::value, attention_in[2]));
  const auto attended =
      tape::causal_attention(query, key, value, tape::CausalAttention{.head_size = config.head_size, .window = window});
  const auto h = tape::add(x, multiply(Projection::output, hooks.site(SiteKind::output, attended)[0]));

  const auto mlp_in = hooks.site(SiteKind::mlp, tape::rms_norm(h, gain(weights.mlp_gain), epsilon));
  const auto product = tape::swiglu(multiply(Projection::gate, mlp_in[0]), multiply(Projection::up, mlp_in[1]));
  return tape::add(h, multiply(Projection::down, hooks.site(SiteKind::down, product)[0]));
}

}  // namespace llama
