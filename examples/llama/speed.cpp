#include "speed.hpp"

#include <algorithm>
#include <limits>
#include <random>

namespace llama {
namespace {

/// The run of the median time among `repeats`.
template <class Run>
PhaseClock median_of(index repeats, Run&& run) {
  std::vector<PhaseClock> clocks;
  for (index i = 0; i < repeats; ++i) clocks.push_back(run());
  const auto middle = clocks.begin() + static_cast<std::ptrdiff_t>(clocks.size() / 2);
  std::nth_element(clocks.begin(), middle, clocks.end(),
                   [](const PhaseClock& a, const PhaseClock& b) { return a.total_seconds() < b.total_seconds(); });
  return *middle;
}

Speed speed_of(const PhaseClock& clock, bool decode, index tokens, index depth, double ceiling) {
  Speed speed{.decode = decode, .tokens = tokens, .depth = depth, .ceiling = ceiling};
  const double seconds = clock.total_seconds();
  speed.tokens_per_s = static_cast<double>(tokens) / seconds;
  for (std::size_t p = 0; p < phase_count; ++p) speed.shares[p] = clock.seconds(static_cast<Phase>(p)) / seconds;
  return speed;
}

int likeliest(MatrixView<const float> logits) {
  const float* row = logits.row(0);
  return static_cast<int>(std::max_element(row, row + logits.columns()) - row);
}

}  // namespace

double multiply_adds_per_token(const Model& model) {
  double count = 0.0;
  for (const Block& block : model.blocks())
    for (Projection p : projections)
      count += static_cast<double>(block.linear(p).rows()) * static_cast<double>(block.linear(p).columns());
  return count;
}

std::vector<Speed> measure_speed(const Model& model, const SpeedOptions& options, const bench::Ceilings& ceilings,
                                 ExecutorReference executor) {
  const index deepest = *std::max_element(options.depths.begin(), options.depths.end());
  const index capacity = deepest + std::max(options.prefill, options.decode);
  if (capacity > model.config().context)
    fail("a depth of ", deepest, " and ", capacity - deepest, " tokens more exceed the model's context of ",
         model.config().context);
  std::mt19937_64 random(options.seed);
  std::uniform_int_distribution<int> any(0, static_cast<int>(model.config().vocabulary) - 1);
  std::vector<int> ids(static_cast<std::size_t>(capacity));
  for (int& id : ids) id = any(random);
  const std::span<const int> text(ids);

  Session session(model, 1, capacity, executor);
  PhaseClock clock;
  const auto rewind = [&](index depth) {
    session.time_with(nullptr);
    if (session.tokens(0) > depth) session.truncate(0, depth);
    const index missing = depth - session.tokens(0);
    if (missing > 0) session.forward(text.first(static_cast<std::size_t>(missing)));
    session.time_with(&clock);
  };
  const auto prefill = [&](index depth) {
    rewind(depth);
    clock.start();
    const auto hidden = session.forward(text.first(static_cast<std::size_t>(options.prefill)));
    session.logits(hidden.middle_rows(options.prefill - 1, 1));
    clock.stop();
    return clock;
  };
  const auto decode = [&](index depth) {
    rewind(depth);
    int id = ids.front();
    clock.start();
    for (index i = 0; i < options.decode; ++i) id = likeliest(session.logits(session.forward({&id, 1})));
    clock.stop();
    return clock;
  };

  const double prefill_ceiling = ceilings.int8_dot / (2.0 * multiply_adds_per_token(model));
  double bytes = static_cast<double>(model.head().linear().size_bytes());
  for (const Block& block : model.blocks()) bytes += static_cast<double>(block.size_bytes());
  std::vector<Speed> speeds;
  for (index depth : options.depths) {
    prefill(depth);  // memory is touched, threads are awake
    speeds.push_back(speed_of(median_of(options.repeats, [&] { return prefill(depth); }), false, options.prefill, depth,
                              prefill_ceiling));
    decode(depth);
    speeds.push_back(speed_of(median_of(options.repeats, [&] { return decode(depth); }), true, options.decode, depth,
                              ceilings.read / bytes));
  }
  if (model.device() != nullptr)  // the clock saw kernels start, not run
    for (Speed& speed : speeds) speed.shares.fill(std::numeric_limits<double>::quiet_NaN());
  return speeds;
}

}  // namespace llama
