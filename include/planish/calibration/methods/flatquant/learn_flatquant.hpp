#pragma once
#include <algorithm>
#include <utility>

#include <planish/calibration/methods/flatquant/options.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// Learns `parameters` as `method` says, in `batches` steps a pass: transforms and clips first; then, where it has
/// passes for weights, calls `begin_weights()`, which makes weights the parameters (LearnedLinear::learn_weights),
/// fixes the others, and returns whether the loss is still the same function, and learns on at their rate. One report
/// of both, with the learning rate of the first. `on_step` counts the steps of both, whose number it knows only in the
/// second. Errors: those of `learn`.
template <class T, class RecordLoss, class BeginWeights, class OnStep>
[[nodiscard]] Result<LearnReport> learn_flatquant(const FlatQuant& method, index batches, ParameterSet<T>& parameters,
                                                  tape::Tape<T>& on, RecordLoss&& record_loss,
                                                  BeginWeights&& begin_weights, OnStep&& on_step) {
  LearnOptions options{.epochs = method.epochs,
                       .batches = batches,
                       .learning_rate = method.learning_rate,
                       .last_rate_share = method.last_rate_share,
                       .adamw = method.adamw,
                       .retries = method.retries};
  auto report = learn(parameters, on, options, record_loss, on_step);
  if (!report || report->stopped || method.weight_epochs == 0) return report;
  const bool same_loss = begin_weights();
  options.epochs = method.weight_epochs;
  options.learning_rate = method.weight_rate;
  if (same_loss) options.loss_before = report->loss_after;
  const index before = method.epochs * batches;
  auto weights = learn(parameters, on, options, record_loss, [&](const LearnProgress& p) {
    return on_step(LearnProgress{before + p.step, before + p.steps, p.loss});
  });
  if (!weights) return weights;
  report->step_losses.insert(report->step_losses.end(), weights->step_losses.begin(), weights->step_losses.end());
  if (!same_loss && report->loss_after > 0.0) report->change_of_inputs = weights->loss_before / report->loss_after;
  report->loss_after = weights->loss_after;
  report->attempts = std::max(report->attempts, weights->attempts);
  report->stopped = weights->stopped;
  return report;
}

}  // namespace planish::inline PLANISH_ABI::calibration
