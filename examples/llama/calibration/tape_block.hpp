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
  std::vector<T> query_gain, key_gain;  // of a head, or empty
  std::array<std::vector<T>, projections.size()> matrices, biases;
  std::array<MatrixShape, projections.size()> shapes;

  TapeWeights(const Config& config, const LayerWeights& weights)
      : attention_gain(weights.attention_gain.begin(), weights.attention_gain.end()),
        mlp_gain(weights.mlp_gain.begin(), weights.mlp_gain.end()),
        query_gain(weights.query_gain.begin(), weights.query_gain.end()),
        key_gain(weights.key_gain.begin(), weights.key_gain.end()) {
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
  [[nodiscard]] bool has_bias(Projection p) const { return !weights->bias(p).empty(); }
  [[nodiscard]] tape::Variable<T> bias(tape::Tape<T>& on, Projection p) const {
    const std::vector<T>& values = weights->bias(p);
    return on.constant({values.data(), 1, static_cast<index>(values.size())});
  }
  [[nodiscard]] tape::Variable<T> query(tape::Variable<T> x) const { return x; }
  [[nodiscard]] tape::Variable<T> key(tape::Variable<T> x) const { return x; }
  [[nodiscard]] tape::Variable<T> value(tape::Variable<T> x) const { return x; }
};

/// One pre-norm block in tape operations, the same arithmetic as Block::forward. Rows are tokens, windows of `window`
/// tokens one after the other. `hooks` say what is quantized, and how.
template <class T>
class BlockGraph {
  using Variable = tape::Variable<T>;

 public:
  BlockGraph(const Config& config, const TapeWeights<T>& weights, const tape::RotaryTable<T>& rotary, index window)
      : config_(&config), weights_(&weights), rotary_(&rotary), window_(window) {}

  /// One linear layer on its quantized input.
  template <class Hooks>
  [[nodiscard]] Variable project(const Hooks& hooks, Projection p, Variable in) const {
    const Variable y = tape::multiply_transposed(in, hooks.matrix(in.tape(), p));
    return hooks.has_bias(p) ? tape::add_to_rows(y, hooks.bias(in.tape(), p)) : y;
  }
  [[nodiscard]] Variable attention_norm(Variable x) const { return norm(x, weights_->attention_gain); }
  [[nodiscard]] Variable mlp_norm(Variable h) const { return norm(h, weights_->mlp_gain); }
  /// Queries or keys to their positions, their heads normalised first where the model asks for it.
  [[nodiscard]] Variable rotate(Projection p, Variable x) const {
    x = normalise_heads(x, p == Projection::query ? weights_->query_gain : weights_->key_gain);
    const auto pairs =
        config_->pairs == RotaryPairs::halves ? tape::RotaryPairs::halves : tape::RotaryPairs::interleaved;
    return tape::rotary_embedding(x, *rotary_, {.head_size = config_->head_size, .window = window_, .pairs = pairs});
  }
  [[nodiscard]] Variable attend(Variable query, Variable key, Variable value) const {
    return tape::causal_attention(query, key, value,
                                  tape::CausalAttention{.head_size = config_->head_size, .window = window_});
  }

  /// What attention adds to the residual x.
  template <class Hooks>
  [[nodiscard]] Variable attention(const Hooks& hooks, Variable x) const {
    const auto in = hooks.site(SiteKind::attention, attention_norm(x));
    const Variable query = hooks.query(rotate(Projection::query, project(hooks, Projection::query, in[0])));
    const Variable key = hooks.key(rotate(Projection::key, project(hooks, Projection::key, in[1])));
    const Variable value = hooks.value(project(hooks, Projection::value, in[2]));
    return project(hooks, Projection::output, hooks.site(SiteKind::output, attend(query, key, value))[0]);
  }

  /// What the MLP adds to the residual h.
  template <class Hooks>
  [[nodiscard]] Variable mlp(const Hooks& hooks, Variable h) const {
    const auto in = hooks.site(SiteKind::mlp, mlp_norm(h));
    const Variable product =
        tape::swiglu(project(hooks, Projection::gate, in[0]), project(hooks, Projection::up, in[1]));
    return project(hooks, Projection::down, hooks.site(SiteKind::down, product)[0]);
  }

  /// x through the whole block.
  template <class Hooks>
  [[nodiscard]] Variable forward(const Hooks& hooks, Variable x) const {
    const Variable h = tape::add(x, attention(hooks, x));
    return tape::add(h, mlp(hooks, h));
  }

 private:
  [[nodiscard]] Variable norm(Variable x, const std::vector<T>& gain) const {
    const Variable on = x.tape().constant({gain.data(), 1, static_cast<index>(gain.size())});
    return tape::rms_norm(x, on, static_cast<T>(config_->norm_epsilon));
  }

  [[nodiscard]] Variable normalise_heads(Variable x, const std::vector<T>& gain) const {
    if (gain.empty()) return x;
    const index rows = x.rows(), columns = x.columns(), size = config_->head_size;
    tape::Tape<T>& on = x.tape();
    return on.reshape(norm(on.reshape(x, rows * (columns / size), size), gain), rows, columns);
  }

  const Config* config_;
  const TapeWeights<T>* weights_;
  const tape::RotaryTable<T>* rotary_;
  index window_;
};

}  // namespace llama
