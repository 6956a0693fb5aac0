// The online half of a site at prefill: a transform and the codes of its rows, tile by tile.
#include <utility>
#include <vector>

#include <planish/linear/site.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;
using A8 = planish::Quantizer<8, planish::PerToken>;

constexpr index rows = 512;

template <class A = A8, class Transform>
void prepare(benchmark::State& state, Transform transform, double operations_per_row, int threads) {
  const index n = transform.size();
  const auto site = planish::Site<A, Transform>::make(std::move(transform));
  if (!site) return state.SkipWithError("no site");
  const bench::FloatMatrix x(rows, n);
  std::vector<std::byte> memory(site->workspace_size(rows, threads));
  const planish::ExecutorReference executor = bench::executor(threads);
  const double operations = operations_per_row * static_cast<double>(rows);
  bench::Work work{.float_operations = operations};
#if defined(__AVX512BF16__)
  if (planish::detail::is_bfloat16_kronecker<Transform>) work = {.bf16_operations = operations};
#endif
  bench::measure(state, threads, work, [&] {
    planish::QuantizedInput in;
    planish::Workspace workspace(memory);
    if (!site->prepare(x.view(), in, workspace, executor)) state.SkipWithError("prepare failed");
  });
}

const bool added = [] {
  for (int threads : bench::thread_counts) {
    bench::Path hadamard("prepare", "hadamard+a8", bench::isa);
    hadamard.add("m", rows).add("n", 4096).add("threads", threads);
    bench::add(hadamard, [=](benchmark::State& state) {
      constexpr double doublings = 12;  // an addition takes the slot of a multiply-add
      auto transform = planish::Hadamard::make(4096, 1);
      if (!transform) return state.SkipWithError("no Hadamard matrix of this order");
      prepare(state, *std::move(transform), 2 * doublings * 4096, threads);
    });
    for (auto [n1, n2] : {std::pair<index, index>{24, 24}, {32, 48}, {64, 64}, {112, 128}}) {
      bench::Path kronecker("prepare", "kronecker+a8", bench::isa);
      kronecker.add("m", rows).add("n1", n1).add("n2", n2).add("threads", threads);
      bench::add(kronecker, [n1 = n1, n2 = n2, threads](benchmark::State& state) {
        prepare(state, planish::Kronecker(planish::Rotation::random(n1, 1), planish::Rotation::random(n2, 2)),
                2.0 * static_cast<double>(n1 * n2 * (n1 + n2)), threads);
      });
      bench::Path rounded("prepare", "kronecker_bf16+a4", bench::bf16_isa);
      rounded.add("m", rows).add("n1", n1).add("n2", n2).add("threads", threads);
      bench::add(rounded, [n1 = n1, n2 = n2, threads](benchmark::State& state) {
        auto transform = planish::round_to_bfloat16(
            planish::Kronecker(planish::Rotation::random(n1, 1), planish::Rotation::random(n2, 2)));
        if (!transform) return state.SkipWithError("a factor that cannot be rounded");
        prepare<planish::Quantizer<4, planish::PerToken>>(state, *std::move(transform),
                                                          2.0 * static_cast<double>(n1 * n2 * (n1 + n2)), threads);
      });
    }
  }
  return true;
}();

}  // namespace
