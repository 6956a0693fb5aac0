#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "ceilings.hpp"
#include "stopwatch.hpp"
#include "suite.hpp"

namespace bench {

void measure(benchmark::State& state, int threads, const Work& work, const std::function<void()>& call) {
  constexpr int rounds = 5, tries = 3;
  constexpr double round_seconds = 0.04, batch_seconds = 20e-6;
  const planish::ExecutorReference workers = executor(threads);
  Ceiling narrowest = Ceiling::read;
  std::vector<double> times, shares, rates;
  call();  // touches every page once
  const Stopwatch first;
  call();
  const double once = first.seconds();
  const auto batch = static_cast<std::int64_t>(batch_seconds / once) + 1;

  // Least seconds that the ceilings allow, whichever is the narrowest.
  const auto least_seconds = [&] {
    double least = 0;
    for (int i = 0; i < ceiling_count; ++i) {
      const auto which = static_cast<Ceiling>(i);
      if (work.amount(which) <= 0) continue;
      double rate = 0;  // the best: another program's turn on one of the cores is no limit of the machine
      for (int t = 0; t < tries; ++t) rate = std::max(rate, try_ceiling(which, workers));
      const double seconds = work.amount(which) / rate;
      if (seconds > least) least = seconds, narrowest = which;
    }
    rates.push_back(work.amount(narrowest) / least);
    return least;
  };
  for (auto _ : state) {
    double before = least_seconds();
    for (int round = 0; round < rounds; ++round) {
      std::vector<double> some;
      const Stopwatch whole;
      do {
        const Stopwatch watch;
        for (std::int64_t i = 0; i < batch; ++i) call();
        some.push_back(watch.seconds() / static_cast<double>(batch));
      } while (whole.seconds() < round_seconds);
      const double after = least_seconds(), seconds = median(std::move(some));
      times.push_back(seconds);
      shares.push_back((before + after) / 2 / seconds);
      before = after;
    }
  }
  const double seconds = median(times);
  const double operations = work.int8_operations + work.nibble_operations + work.amx_operations +
                            work.float_operations + work.bf16_operations;
  state.counters["us"] = seconds * 1e6;
  if (operations > 0) state.counters["GOP/s"] = operations / seconds * 1e-9;
  if (work.bytes > 0) state.counters["GB/s"] = work.bytes / seconds * 1e-9;
  state.counters["percent_of_ceiling"] = 100 * median(shares);
  const CeilingName& name = ceiling_names[static_cast<int>(narrowest)];
  char label[64];
  std::snprintf(label, sizeof label, "%s %.*f %s", name.name, narrowest == Ceiling::read ? 1 : 0, median(rates) * 1e-9,
                name.unit);
  state.SetLabel(label);
}

}  // namespace bench
