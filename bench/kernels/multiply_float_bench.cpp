// Float products: what a model without quantization runs.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/scratch.hpp>

#include "support/operands.hpp"
#include "support/shapes.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

void multiply_float(benchmark::State& state, index m, bench::Shape shape, int threads, bool cold) {
  const bench::FloatMatrix dense(shape.n, shape.k);
  const auto packed = planish::FloatPanels::make(dense.view());
  if (!packed) return state.SkipWithError("out of memory");
  planish::FloatPanelsView w = packed->view();
  bench::ColdCopies copies(w.data, packed->size_bytes(), cold);
  const bench::FloatMatrix x(m, shape.k);
  bench::FloatMatrix y(m, shape.n);
  bench::Scratch scratch(planish::kernels::cpu::multiply_scratch_bytes(m, shape.k, 1), threads);
  const planish::ExecutorReference executor = bench::executor(threads);
  const auto operations = 2.0 * static_cast<double>(m * shape.n * shape.k);
  bench::measure(state, threads, {.float_operations = operations, .bytes = copies.bytes_read()}, [&] {
    w.data = static_cast<const float*>(copies.next());
    executor.run(threads, [&](int task, int worker) noexcept {
      planish::kernels::cpu::multiply_float(x.view(), w, {}, y.view(), planish::part_of(w.panel_count(), task, threads),
                                            scratch.of(worker));
    });
  });
}

const bool added = [] {
  for (int threads : bench::thread_counts)
    for (index m : bench::row_counts)
      for (bench::Shape shape : {bench::llama3_8b::query, bench::smollm2_135m::up}) {
        const bool cold = m == 1;
        bench::Path path("gemm", "fp32", bench::isa);
        path.add("m", m).add("n", shape.n).add("k", shape.k).add("threads", threads);
        if (cold) path.add("weights:cold");
        bench::add(path, [=](benchmark::State& state) { multiply_float(state, m, shape, threads, cold); });
      }
  return true;
}();

}  // namespace
