// One layer of Llama-3-8B: what its online transforms with quantization take, beside what its integer products take.
#include <cstring>
#include <utility>
#include <vector>

#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>
#include <planish/linear/site.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/identity.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;
using planish::Rotation;
using A8 = planish::Quantizer<8, planish::PerToken>;

constexpr index hidden = 4096, inner = 14336, heads = 32, kv_heads = 8, head_size = 128;

/// A site with its input and memory.
template <class Transform, class A = A8>
struct SiteRun {
  planish::Site<A, Transform> site;
  bench::FloatMatrix x;
  std::vector<std::byte> memory;

  SiteRun(index rows, Transform transform)
      : site(*planish::Site<A, Transform>::make(std::move(transform))),
        x(rows, site.size()),
        memory(site.workspace_size(rows)) {}
  void operator()() {
    planish::QuantizedInput in;
    planish::Workspace workspace(memory);
    static_cast<void>(site.prepare(x.view(), in, workspace));
  }
};

double kronecker_operations(index n1, index n2) { return 2.0 * static_cast<double>(n1 * n2 * (n1 + n2)); }

/// Inputs of attention, of the output projection (whose factor within heads is folded away), of gate and up, and of
/// down; and queries and keys head by head, which the cache quantizes.
void transforms(benchmark::State& state, index rows) {
  using Both = planish::Kronecker<Rotation, Rotation>;
  using Across = planish::Kronecker<Rotation, planish::Identity>;
  SiteRun<Both> attention(rows, {Rotation::random(64, 1), Rotation::random(64, 2)});
  SiteRun<Across> output(rows, {Rotation::random(heads, 3), planish::Identity(head_size)});
  SiteRun<Both> gate_up(rows, {Rotation::random(64, 4), Rotation::random(64, 5)});
  SiteRun<Both> down(rows, {Rotation::random(112, 6), Rotation::random(128, 7)});
  constexpr index all_heads = heads + kv_heads;
  const bench::FloatMatrix queries_and_keys(rows, all_heads * head_size);
  bench::FloatMatrix turned(rows, all_heads * head_size);
  const Rotation within = Rotation::random(head_size, 8);
  auto scratch =
      planish::AlignedBuffer<float>::make(planish::kernels::reference::kronecker_scratch_size(all_heads, head_size));
  if (!scratch) return state.SkipWithError("out of memory");
  const double per_row = 2 * kronecker_operations(64, 64) + kronecker_operations(112, 128) +
                         2.0 * static_cast<double>(hidden * heads + all_heads * head_size * head_size);
  bench::measure(state, 1, {.float_operations = per_row * static_cast<double>(rows)}, [&] {
    attention();
    planish::kernels::cpu::kronecker_rows(queries_and_keys.view(), all_heads, head_size, nullptr,
                                          within.matrix<float>(), turned.view(), scratch->span());
    output();
    gate_up();
    down();
  });
}

/// The same in bfloat16, for codes of 4 bits.
void bfloat16_transforms(benchmark::State& state, index rows) {
  using A4 = planish::Quantizer<4, planish::PerToken>;
  const auto rounded = [](auto left, auto right) {
    return *planish::round_to_bfloat16(planish::Kronecker(std::move(left), std::move(right)));
  };
  const auto both = [&](index n1, index n2, std::uint64_t seed) {
    return rounded(Rotation::random(n1, seed), Rotation::random(n2, seed + 1));
  };
  const auto across = rounded(Rotation::random(heads, 3), planish::Identity(head_size));
  const auto within = rounded(planish::Identity(1), Rotation::random(head_size, 8));
  using Both = decltype(both(1, 1, 1));
  SiteRun<Both, A4> attention(rows, both(64, 64, 1)), gate_up(rows, both(64, 64, 4)), down(rows, both(112, 128, 6));
  SiteRun<std::remove_const_t<decltype(across)>, A4> output(rows, across);
  constexpr index all_heads = heads + kv_heads;
  const bench::FloatMatrix queries_and_keys(rows * all_heads, head_size);
  bench::FloatMatrix turned(rows * all_heads, head_size);
  auto scratch = planish::AlignedBuffer<float>::make(within.scratch_size(rows));
  if (!scratch) return state.SkipWithError("out of memory");
  const double per_row = 2 * kronecker_operations(64, 64) + kronecker_operations(112, 128) +
                         2.0 * static_cast<double>(hidden * heads + all_heads * head_size * head_size);
  bench::Work work{.float_operations = per_row * static_cast<double>(rows)};
#if defined(__AVX512BF16__)
  work = {.bf16_operations = per_row * static_cast<double>(rows)};
#endif
  bench::measure(state, 1, work, [&] {
    attention();
    planish::kernels::cpu::kronecker_bfloat16_rows(queries_and_keys.view(), within.factors(), turned.view(),
                                                   scratch->span());
    output();
    gate_up();
    down();
  });
}

/// Codes of so many bytes that have left every cache, as a model's have when they come round again. Any bytes are
/// codes.
const std::uint8_t* next_cold(std::size_t bytes) {
  static const bool written = [] {
    std::memset(bench::cold_memory().data(), 0x5a, bench::cold_memory().span().size());
    return true;
  }();
  static std::size_t begin = 0;
  if (!written || begin + bytes > bench::cold_bytes) begin = 0;
  return bench::cold_memory().data() + std::exchange(begin, begin + (bytes + 4095) / 4096 * 4096);
}

void products(benchmark::State& state, index rows) {
  struct Product {
    planish::PackedWeights weights;
    bench::Activations x;
    bench::FloatMatrix y;

    Product(index m, index n, index k) : weights(bench::random_weights(n, k, 4)), x(m, k, {}), y(m, n) {}
  };
  Product query(rows, hidden, hidden), key(rows, kv_heads * head_size, hidden), up(rows, inner, hidden),
      down(rows, hidden, inner);
  Product* const layer[] = {&query, &key, &key, &query, &up, &up, &down};
  bench::Scratch scratch(planish::kernels::cpu::multiply_scratch_bytes(rows, inner, 1), 1);
  const bool cold = rows == 1 && !bench::cold_memory().empty();
  const auto bytes_of = [](const planish::PackedWeightsView& w) {
    return static_cast<std::size_t>(w.panel_count() * w.panel_bytes());
  };
  bench::Work work;
  for (const Product* p : layer) {
    work.int8_operations += 2.0 * static_cast<double>(rows * p->y.view().columns() * p->x.view().columns);
    if (cold) work.bytes += static_cast<double>(bytes_of(p->weights.view()));
  }
  bench::measure(state, 1, work, [&] {
    for (Product* p : layer) {
      planish::PackedWeightsView w = p->weights.view();
      if (cold) w.panels = next_cold(bytes_of(w));
      planish::kernels::cpu::multiply(p->x.view(), w, {}, p->y.view(), {0, w.panel_count()}, scratch.of(0));
    }
  });
}

const bool added = [] {
  for (index m : {1, 512}) {
    bench::Path online("layer/transforms+a8", bench::isa), integer("layer/products/w4a8", bench::isa);
    online.add("m", m).add("threads", 1);
    integer.add("m", m).add("threads", 1);
    bench::Path rounded("layer/transforms_bf16+a4", bench::bf16_isa);
    rounded.add("m", m).add("threads", 1);
    bench::add(rounded, [m](benchmark::State& state) { bfloat16_transforms(state, m); });
    bench::add(online, [m](benchmark::State& state) { transforms(state, m); });
    bench::add(integer, [m](benchmark::State& state) { products(state, m); });
  }
  return true;
}();

}  // namespace
