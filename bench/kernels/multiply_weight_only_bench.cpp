// Float activations times quantized weights.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/scratch.hpp>

#include "support/operands.hpp"
#include "support/shapes.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

void multiply_weight_only(benchmark::State& state, int bits, index group, index m, bench::Shape shape, int threads,
                          bool cold) {
  const auto weights = bench::random_weights(shape.n, shape.k, bits, group);
  planish::PackedWeightsView w = weights.view();
  bench::ColdCopies copies(w.panels, static_cast<std::size_t>(w.panel_count() * w.panel_bytes()), cold);
  const bench::FloatMatrix x(m, shape.k);
  bench::FloatMatrix y(m, shape.n);
  bench::Scratch scratch(planish::kernels::cpu::multiply_scratch_bytes(m, shape.k, w.groups()), threads);
  const planish::ExecutorReference executor = bench::executor(threads);
  const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
  bench::measure(state, threads, {.float_operations = operations, .bytes = copies.bytes_read()}, [&] {
    w.panels = static_cast<const std::uint8_t*>(copies.next());
    executor.run(threads, [&](int task, int worker) noexcept {
      planish::kernels::cpu::multiply_weight_only(x.view(), w, {}, y.view(),
                                                  planish::part_of(w.panel_count(), task, threads), scratch.of(worker));
    });
  });
}

void add(int bits, index group, index m, bench::Shape shape, int threads) {
  const bool cold = m <= 4;  // fewer rows than arithmetic bounds
  bench::Path path("gemm", bits == 4 ? "w4a16" : "w8a16", bench::isa);
  path.add("m", m).add("n", shape.n).add("k", shape.k);
  if (group > 0) path.add("group", group);
  path.add("threads", threads);
  if (cold) path.add("weights:cold");
  bench::add(path, [=](benchmark::State& state) { multiply_weight_only(state, bits, group, m, shape, threads, cold); });
}

const bool added = [] {
  constexpr index per_channel = 0;
  for (int threads : bench::thread_counts) {
    for (int bits : {4, 8})
      for (index m : bench::row_counts) add(bits, per_channel, m, bench::llama3_8b::query, threads);
    add(4, per_channel, 4, bench::llama3_8b::query, threads);
    for (index m : {1, 4}) add(4, 128, m, bench::llama3_8b::query, threads);
  }
  return true;
}();

}  // namespace
