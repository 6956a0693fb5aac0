#pragma once
#include <algorithm>
#include <cmath>
#include <concepts>
#include <optional>
#include <utility>
#include <vector>

#include <planish/calibration/optimizer/adamw.hpp>
#include <planish/calibration/optimizer/cosine_schedule.hpp>
#include <planish/calibration/tape/loss.hpp>

namespace planish::inline PLANISH_ABI::calibration {

/// How long and how fast to learn.
struct LearnOptions {
  int epochs = 15;
  index batches = 1;  ///< steps per epoch
  double learning_rate = 1e-2;
  double last_rate_share = 1e-3;
  AdamWOptions adamw{};
  int retries = 3;                         ///< after a divergence, each from the start at half the rate
  index evaluated = 16;                    ///< batches, at most, for the loss before and after: evenly spread
  std::optional<double> loss_before = {};  ///< of the start, where it is known: it need not be computed again
};

/// What the loss did.
struct LearnReport {
  double loss_before = 0.0, loss_after = 0.0;  ///< mean over LearnOptions::evaluated batches
  /// The loss on the inputs that weights learn from over that on the inputs before, of the same parameters; 1 where
  /// those are the same (learn_flatquant).
  double change_of_inputs = 1.0;
  std::vector<double> step_losses;  ///< of the attempt that went through
  double learning_rate = 0.0;       ///< of that attempt
  int attempts = 1;
  bool stopped = false;  ///< the caller asked; the parameters are those of the last step

  /// The start's loss as it would be on the inputs of `loss_after`: what that may be compared with.
  [[nodiscard]] double comparable_before() const noexcept { return loss_before * change_of_inputs; }
};

/// Where a run is: shown to the caller after every step.
struct LearnProgress {
  index step = 0, steps = 0;  ///< done, and in all
  double loss = 0.0;          ///< of this step
};

namespace detail {

template <class F, class T>
concept RecordsALoss = requires(F& record_loss, index batch) {
  { record_loss(batch) } -> std::convertible_to<tape::Variable<T>>;
};
template <class F>
concept HearsOfSteps = requires(F& on_step, const LearnProgress& progress) {
  { on_step(progress) } -> std::convertible_to<bool>;
};

/// One attempt; false if it diverged.
template <class T, class RecordLoss, class OnStep>
[[nodiscard]] bool attempt(ParameterSet<T>& parameters, tape::Tape<T>& on, const LearnOptions& options,
                           RecordLoss& record_loss, OnStep& on_step, LearnReport& report) {
  const index steps = options.epochs * options.batches;
  const CosineSchedule schedule{.peak = report.learning_rate, .steps = steps, .last_share = options.last_rate_share};
  AdamW<T> optimizer(parameters, options.adamw);
  std::vector<T> best;
  double best_mean = HUGE_VAL, sum = 0.0, mean = HUGE_VAL;
  report.step_losses.clear();
  for (index step = 0; step < steps; ++step) {
    parameters.clear_gradients();
    const tape::Variable<T> loss = record_loss(step % options.batches);
    const auto value = static_cast<double>(loss.value()(0, 0));
    if (!std::isfinite(value)) return on.clear(), false;
    // An exact block has nothing to learn, and no logarithm.
    if (value > 0.0) on.backward(tape::normalised(loss));
    on.clear();
    optimizer.step(schedule.rate(step), on.executor());
    if (!parameters.all_finite()) return false;
    report.step_losses.push_back(value);
    sum += value;
    if ((step + 1) % options.batches == 0) {
      mean = sum / static_cast<double>(options.batches);
      sum = 0.0;
      if (mean < best_mean) {
        best_mean = mean;
        best = std::vector<T>();  // never two of them; and nobody returns to the last
        if (step + 1 < steps) best = parameters.snapshot();
      }
    }
    if (!on_step(LearnProgress{step + 1, steps, value})) return report.stopped = true, true;
  }
  constexpr double drift = 1.02;  // the loss may rise again late: then the best epoch is the result
  if (mean > drift * best_mean) parameters.restore(best);
  return true;
}

}  // namespace detail

/// Minimises a loss over fixed batches in a fixed order. `record_loss(batch)` records a 1 × 1 loss on the tape; each
/// step follows the gradient of its logarithm, so that batches weigh alike (FlatQuant's self-normalised loss).
/// `on_step(LearnProgress)` returns false to stop. An attempt that meets NaN, a singular factor or a loss above the
/// start's is repeated at half the rate; if none helps, the start is the result. Errors: not_finite if the last attempt
/// met NaN or a singular factor; the parameters are then those of the start too.
template <class T, class RecordLoss, class OnStep>
[[nodiscard]] Result<LearnReport> learn(ParameterSet<T>& parameters, tape::Tape<T>& on, const LearnOptions& options,
                                        RecordLoss&& record_loss, OnStep&& on_step) {
  static_assert(detail::RecordsALoss<RecordLoss, T>,
                "planish: record_loss(batch) takes an index and returns the loss as a tape::Variable");
  static_assert(detail::HearsOfSteps<OnStep>,
                "planish: on_step takes a LearnProgress and returns bool: false stops the learning");
  if (options.epochs < 1 || options.batches < 1 || options.evaluated < 1 || !(options.learning_rate > 0.0) ||
      options.retries < 0)
    return Status(ErrorCode::invalid_argument, "learning takes at least one epoch, one batch and a positive rate");
  const std::vector<T> start = parameters.snapshot();
  const auto mean_loss = [&] {
    const index count = std::min(options.batches, options.evaluated);
    double sum = 0.0;
    for (index i = 0; i < count; ++i) {
      sum += static_cast<double>(record_loss(i * options.batches / count).value()(0, 0));
      on.clear();
    }
    return sum / static_cast<double>(count);
  };
  LearnReport report;
  report.learning_rate = options.learning_rate;
  report.loss_before = options.loss_before ? *options.loss_before : mean_loss();
  if (!std::isfinite(report.loss_before))
    return Status(ErrorCode::not_finite, "the loss is not finite before the first step");
  for (;; ++report.attempts, report.learning_rate *= 0.5) {
    bool good = false;
    try {
      good = detail::attempt(parameters, on, options, record_loss, on_step, report);
      if (good && !report.stopped) report.loss_after = mean_loss();
    } catch (const Error& error) {
      on.clear();
      if (error.code() != ErrorCode::singular) {
        parameters.restore(start);
        return Status(error.code(), std::string_view(error.what()));
      }
      good = false;
    }
    if (report.stopped) return report;
    if (good && report.loss_after <= report.loss_before) return report;
    parameters.restore(start);
    if (report.attempts <= options.retries) continue;
    if (!good)
      return Status(ErrorCode::not_finite, "learning diverged ", report.attempts,
                    " times; lower the learning rate or check the calibration text");
    report.loss_after = report.loss_before;
    return report;
  }
}

}  // namespace planish::inline PLANISH_ABI::calibration
