// Activations to codes: a row stays in the first-level cache between its two passes.
#include <planish/kernels/cpu/entry_points.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

void quantize_rows(benchmark::State& state, int bits, planish::Symmetry symmetry, index m, index k) {
  const bench::FloatMatrix x(m, k);
  const bool asymmetric = symmetry == planish::Symmetry::asymmetric;
  std::vector<std::byte> memory(planish::quantized_rows_bytes(m, k, asymmetric) + planish::buffer_alignment);
  planish::Workspace workspace(memory);
  const planish::QuantizedRowsSpan out = planish::take_quantized_rows(workspace, m, k, asymmetric);
  const planish::RowQuantizer quantizer{.bits = bits, .symmetry = symmetry};
  // Against the speed at which memory delivers floats: above 100 %, quantizing is free when rows are streamed.
  bench::measure(state, 1, {.bytes = 4.0 * static_cast<double>(m * k)},
                 [&] { planish::kernels::cpu::quantize_rows(x.view(), quantizer, out); });
}

const bool added = [] {
  for (int bits : {8, 4})
    for (auto symmetry : {planish::Symmetry::symmetric, planish::Symmetry::asymmetric})
      for (index k : {index{576}, index{4096}}) {
        bench::Path path("quantize_rows", bits == 8 ? "a8" : "a4",
                         symmetry == planish::Symmetry::symmetric ? "symmetric" : "asymmetric", bench::isa);
        path.add("m", 16).add("k", k).add("threads", 1).add("rows:warm");
        bench::add(path, [=](benchmark::State& state) { quantize_rows(state, bits, symmetry, 16, k); });
      }
  return true;
}();

}  // namespace
