#pragma once
#include <cmath>
#include <optional>

#include <planish/calibration/methods/flatquant/record_loss.hpp>
#include <planish/calibration/tape/arithmetic.hpp>

#include "learned_block.hpp"
#include "options.hpp"

namespace llama {

/// The losses of the objectives that look inside a block. Each part counts relative to the size of what it should be,
/// so that none drowns the others.
template <class T>
class InnerLosses {
  using Variable = tape::Variable<T>;

 public:
  /// `block` is recorded on the tape of the step.
  InnerLosses(const planish::calibration::FlatQuant& method, const TapeWeights<T>& weights, const BlockGraph<T>& graph,
              const LearnedBlock<T>& block)
      : method_(&method), weights_(&weights), graph_(&graph), block_(&block) {}

  [[nodiscard]] Variable weight() {
    for (Projection p : projections) take(block_->weights_back(p), weights_->matrix(p));
    return *total_;
  }

  /// x: the block's input.
  [[nodiscard]] Variable layer(Variable x) {
    const FloatHooks<T> teacher{weights_};
    const Variable normed = graph_->attention_norm(x);
    const auto in = block_->site(SiteKind::attention, normed);
    const Variable query = layer_of(Projection::query, in[0], normed);
    const Variable key = graph_->rotate(Projection::key, graph_->project(teacher, Projection::key, normed));
    const Variable turned_key = graph_->rotate(Projection::key, graph_->project(*block_, Projection::key, in[1]));
    take(block_->key_back(block_->key(turned_key)), key.value());
    const Variable value = graph_->project(teacher, Projection::value, normed);
    take(block_->value_back(block_->value(graph_->project(*block_, Projection::value, in[2]))), value.value());

    const Variable attended = graph_->attend(graph_->rotate(Projection::query, query), key, value);
    const Variable turned = block_->site(SiteKind::output, block_->turn_values(attended))[0];
    const Variable h = tape::add(x, layer_of(Projection::output, turned, attended));

    const Variable mlp_normed = graph_->mlp_norm(h);
    const auto mlp_in = block_->site(SiteKind::mlp, mlp_normed);
    const Variable gate = layer_of(Projection::gate, mlp_in[0], mlp_normed);
    const Variable product = tape::swiglu(gate, layer_of(Projection::up, mlp_in[1], mlp_normed));
    (void)layer_of(Projection::down, block_->site(SiteKind::down, product)[0], product);
    return *total_;
  }

  [[nodiscard]] Variable module(Variable x) {
    const FloatHooks<T> teacher{weights_};
    const Variable attention = graph_->attention(teacher, x);
    take(graph_->attention(*block_, x), attention.value());
    const Variable h = tape::add(x, attention);
    const Variable mlp = graph_->mlp(teacher, h);
    take(graph_->mlp(*block_, h), mlp.value());
    return *total_;
  }

 private:
  /// The float layer's output; the quantized one's error joins the sum.
  Variable layer_of(Projection p, Variable quantized, Variable plain) {
    const Variable y = graph_->project(FloatHooks<T>{weights_}, p, plain);
    take(graph_->project(*block_, p, quantized), y.value());
    return y;
  }

  void take(Variable y, MatrixView<const T> target) {
    const bool squared = method_->loss != planish::calibration::Loss::mean_absolute_error;
    double size = 0.0;
    for (index r = 0; r < target.rows(); ++r)
      for (index c = 0; c < target.columns(); ++c) {
        const auto magnitude = static_cast<double>(std::fabs(target(r, c)));
        size += squared ? magnitude * magnitude : magnitude;
      }
    size /= static_cast<double>(target.size());
    const Variable loss = planish::calibration::record_loss(*method_, y, target);
    const Variable relative = size > 0.0 ? tape::multiply_by(loss, static_cast<T>(1.0 / size)) : loss;
    total_ = total_ ? tape::add(*total_, relative) : relative;
  }

  const planish::calibration::FlatQuant* method_;
  const TapeWeights<T>* weights_;
  const BlockGraph<T>* graph_;
  const LearnedBlock<T>* block_;
  std::optional<Variable> total_;
};

/// The loss of one batch on the tape of the step. x: tokens × hidden size; target: the float block's output.
template <class T>
[[nodiscard]] tape::Variable<T> record_objective(Objective objective, const planish::calibration::FlatQuant& method,
                                                 const TapeWeights<T>& weights, const BlockGraph<T>& graph,
                                                 const LearnedBlock<T>& block, tape::Variable<T> x,
                                                 MatrixView<const T> target) {
  InnerLosses<T> inner(method, weights, graph, block);
  switch (objective) {
    case Objective::weight:
      return inner.weight();
    case Objective::layer:
      return inner.layer(x);
    case Objective::module:
      return inner.module(x);
    case Objective::block:
      break;
  }
  return planish::calibration::record_loss(method, graph.forward(block, x), target);
}

}  // namespace llama
