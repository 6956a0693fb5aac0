// Fast Walsh-Hadamard transforms of rows: powers of two, and the sizes of real models.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/transform/hadamard_orders/plan.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

/// Additions per row: a stage of order b takes b - 1 additions per value, a doubling one.
double additions(const planish::kernels::HadamardPlanView& plan) {
  double per_value = plan.doublings;
  for (index i = 0; i < plan.base_count; ++i) per_value += static_cast<double>(plan.bases[i].order - 1);
  return per_value * static_cast<double>(plan.size);
}

void hadamard_rows(benchmark::State& state, index m, index n) {
  const auto plan = planish::HadamardPlan::make(n);
  if (!plan) return state.SkipWithError("no Hadamard matrix of this order");
  const bench::FloatMatrix x(m, n);
  bench::FloatMatrix y(m, n);
  auto scratch = planish::AlignedBuffer<float>::make(planish::kernels::hadamard_scratch_size(plan->view()));
  if (!scratch) return state.SkipWithError("out of memory");
  // An addition takes the slot of a fused multiply-add, which the ceiling counts as two operations.
  const double operations = 2.0 * static_cast<double>(m) * additions(plan->view());
  bench::measure(state, 1, {.float_operations = operations}, [&] {
    planish::kernels::cpu::hadamard_rows(x.view(), plan->view(), nullptr, y.view(), scratch->span());
  });
}

const bool added = [] {
  for (index n : {64, 576, 1536, 4096, 14336}) {
    bench::Path path("hadamard_rows", bench::isa);
    path.add("m", 16).add("n", n).add("threads", 1).add("rows:warm");
    bench::add(path, [=](benchmark::State& state) { hadamard_rows(state, 16, n); });
  }
  return true;
}();

}  // namespace
