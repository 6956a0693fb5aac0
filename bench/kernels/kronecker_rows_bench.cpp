// Kronecker transforms of rows: two small dense products per row.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

void kronecker_rows(benchmark::State& state, index m, index n1, index n2) {
  const bench::FloatMatrix x(m, n1 * n2), left(n1, n1, 2), right(n2, n2, 3);
  bench::FloatMatrix y(m, n1 * n2);
  auto scratch = planish::AlignedBuffer<float>::make(planish::kernels::reference::kronecker_scratch_size(n1, n2));
  if (!scratch) return state.SkipWithError("out of memory");
  const double operations = 2.0 * static_cast<double>(m * n1 * n2 * (n1 + n2));
  bench::measure(state, 1, {.float_operations = operations}, [&] {
    planish::kernels::cpu::kronecker_rows(x.view(), n1, n2, left.view().data(), right.view().data(), y.view(),
                                          scratch->span());
  });
}

const bool added = [] {
  for (auto [n1, n2] : {std::pair<index, index>{24, 24}, {32, 48}, {64, 64}, {112, 128}}) {
    bench::Path path("kronecker_rows", bench::isa);
    path.add("m", 32).add("n1", n1).add("n2", n2).add("threads", 1).add("rows:warm");
    bench::add(path, [n1 = n1, n2 = n2](benchmark::State& state) { kronecker_rows(state, 32, n1, n2); });
  }
  return true;
}();

}  // namespace
