#include "learn_in_float64.hpp"

#include <algorithm>

#include "../require.hpp"
#include "learned_block.hpp"
#include "objective.hpp"

namespace llama {

std::vector<double> learn_in_float64(const Config& config, const LayerWeights& weights,
                                     const CalibrationOptions& options, const BlockTrace& trace,
                                     ExecutorReference executor, const std::function<bool()>& goes_on) {
  const planish::calibration::FlatQuant& method = options.method;
  const index window = options.window, hidden = config.hidden_size;
  const TapeWeights<double> plain(config, weights);
  SiteStart start;  // the scales' comes from the trace
  for (std::size_t i = 0; i < site_kinds.size(); ++i) {
    start.magnitudes[i].resize(static_cast<std::size_t>(channels_at(site_kinds[i], config)));
    start.shifts[i] = trace.start.transform(block_site(site_kinds[i])).shift;
  }
  LearnedBlock<double> block(config, plain, options.recipe, method, start, trace.seed);
  std::size_t at = 0;
  for (auto& m : block.parameters().members()) std::ranges::copy(trace.learned[at++].second, m.values.begin());

  const std::vector<double> inputs(trace.inputs.begin(), trace.inputs.end());
  const std::vector<double> targets(trace.targets.begin(), trace.targets.end());
  const tape::RotaryTable<double> rotary(window, config.rotary_frequencies);
  const BlockGraph<double> graph(config, plain, rotary, window);
  tape::Tape<double> on(executor);
  const index batch_rows = std::min(trace.rows, method.batch * window);
  const auto loss = [&](index batch) {
    const index first = batch * batch_rows, count = std::min(batch_rows, trace.rows - first);
    block.record(on);
    const auto x = on.constant({inputs.data() + first * hidden, count, hidden});
    return record_objective(options.objective, method, plain, graph, block, x,
                            MatrixView<const double>(targets.data() + first * hidden, count, hidden));
  };
  const planish::calibration::LearnOptions passes{.epochs = method.epochs,
                                                  .batches = (trace.rows + batch_rows - 1) / batch_rows,
                                                  .learning_rate = method.learning_rate,
                                                  .last_rate_share = method.last_rate_share,
                                                  .adamw = method.adamw,
                                                  .retries = method.retries};
  return require(planish::calibration::learn(block.parameters(), on, passes, loss,
                                             [&](const planish::calibration::LearnProgress&) { return goes_on(); }),
                 "learning in float64")
      .step_losses;
}

}  // namespace llama
