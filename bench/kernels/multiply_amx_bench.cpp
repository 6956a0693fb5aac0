// Integer products by the matrix tiles of AMX, where this machine has them.
#include <planish/backend/enable_amx.hpp>
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/tile_plan.hpp>

#include "support/operands.hpp"
#include "support/scheme.hpp"
#include "support/shapes.hpp"
#include "support/suite.hpp"

#if defined(PLANISH_HAS_AMX_INT8)
namespace {

using planish::index;

constexpr bench::Scheme schemes[] = {{"w4a8", 4, 8, 0}, {"w4a4", 4, 4, 0}, {"w8a8", 8, 8, 0}, {"w4a8g128", 4, 8, 128}};
constexpr bench::Shape shapes[] = {bench::llama3_8b::query, bench::llama3_8b::up, bench::llama3_8b::down,
                                   bench::smollm2_135m::query, bench::smollm2_135m::up};

void multiply(benchmark::State& state, const bench::Scheme& scheme, index m, bench::Shape shape, int threads) {
  const auto weights = bench::random_weights(shape.n, shape.k, scheme.weight_bits, scheme.group);
  const bench::Activations x(m, shape.k, {.bits = scheme.activation_bits});
  const planish::PackedWeightsView w = weights.view();
  bench::FloatMatrix y(m, shape.n);
  bench::Scratch scratch(planish::kernels::cpu::tile_scratch_bytes(m, shape.k, w.groups()), threads);
  const planish::ExecutorReference executor = bench::executor(threads);
  bench::measure(state, threads, {.amx_operations = 2.0 * static_cast<double>(m * shape.n * shape.k)}, [&] {
    executor.run(threads, [&](int task, int worker) noexcept {
      planish::kernels::cpu::multiply_amx(x.view(), w, {}, y.view(), planish::part_of(w.panel_count(), task, threads),
                                          scratch.of(worker));
    });
  });
}

const bool added = [] {
  if (!planish::enable_amx()) return false;
  for (const bench::Scheme& scheme : schemes)
    for (int threads : bench::thread_counts)
      for (const bench::Shape& shape : shapes)
        for (index m : {16, 32, 128, 512}) {
          bench::Path path("gemm", scheme.name, "amx");
          path.add("m", m).add("n", shape.n).add("k", shape.k).add("threads", threads);
          bench::add(path, [=](benchmark::State& state) { multiply(state, scheme, m, shape, threads); });
        }
  return true;
}();

}  // namespace
#endif
