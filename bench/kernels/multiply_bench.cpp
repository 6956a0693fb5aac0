// Integer products of quantized rows and packed weights.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/scratch.hpp>

#include "support/operands.hpp"
#include "support/scheme.hpp"
#include "support/shapes.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

constexpr bench::Scheme schemes[] = {
    {"w4a8", 4, 8, 0}, {"w4a4", 4, 4, 0}, {"w8a8", 8, 8, 0}, {"w4a8g128", 4, 8, 128}, {"w4a8g32", 4, 8, 32}};

void multiply(benchmark::State& state, const bench::Scheme& scheme, index m, bench::Shape shape, int threads,
              bool cold) {
  const auto weights = bench::random_weights(shape.n, shape.k, scheme.weight_bits, scheme.group);
  const bench::Activations x(m, shape.k, {.bits = scheme.activation_bits});
  planish::PackedWeightsView w = weights.view();
  bench::ColdCopies copies(w.panels, static_cast<std::size_t>(w.panel_count() * w.panel_bytes()), cold);
  bench::FloatMatrix y(m, shape.n);
  bench::Scratch scratch(planish::kernels::cpu::multiply_scratch_bytes(m, shape.k, w.groups()), threads);
  const planish::ExecutorReference executor = bench::executor(threads);
  const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
  bench::Work work{.bytes = copies.bytes_read()};
  (bench::nibbles_have_a_step && scheme.weight_bits <= 4 ? work.nibble_operations : work.int8_operations) = operations;
  bench::measure(state, threads, work, [&] {
    w.panels = static_cast<const std::uint8_t*>(copies.next());
    executor.run(threads, [&](int task, int worker) noexcept {
      planish::kernels::cpu::multiply(x.view(), w, {}, y.view(), planish::part_of(w.panel_count(), task, threads),
                                      scratch.of(worker));
    });
  });
}

void add_rows(const bench::Scheme& scheme, index m, bench::Shape shape, int threads, bool cold) {
  bench::Path path("gemm", scheme.name, bench::isa);
  path.add("m", m).add("n", shape.n).add("k", shape.k).add("threads", threads);
  if (cold) path.add("weights:cold");
  bench::add(path, [=](benchmark::State& state) { multiply(state, scheme, m, shape, threads, cold); });
}

// Per channel: every shape, from decode to prefill, the ladder of few rows on weights that no cache holds, as when a
// few tokens pass through a model. Group scales: what they cost on one large and one small shape.
const bool added = [] {
  using namespace bench;
  for (const Scheme& scheme : schemes)
    for (int threads : thread_counts) {
      for (Shape shape : {llama3_8b::query, smollm2_135m::up}) {
        add_rows(scheme, 1, shape, threads, true);
        add_rows(scheme, 16, shape, threads, false);
        for (index m : {128, 512}) add_rows(scheme, m, shape, threads, false);
      }
      if (scheme.group != 0) continue;
      for (Shape shape : {llama3_8b::up, llama3_8b::down, smollm2_135m::query}) {
        add_rows(scheme, 1, shape, threads, true);
        for (index m : {16, 128}) add_rows(scheme, m, shape, threads, false);
      }
    }
  for (const Scheme& scheme : {schemes[0], schemes[2]})
    for (Shape shape : {llama3_8b::query, llama3_8b::up, llama3_8b::down, smollm2_135m::query, smollm2_135m::up})
      for (index m : {2, 3, 4, 6, 8, 12, 15, 16}) add_rows(scheme, m, shape, 1, true);
  return true;
}();

}  // namespace
