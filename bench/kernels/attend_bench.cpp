// Attention over a quantized cache: one token over a long context, and a block of prefill.
#include <planish/kernels/cpu/attend.hpp>
#include <planish/kv_cache/kv_cache.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

struct Heads {
  index query, kv, size;
};
constexpr Heads smollm2{9, 3, 64}, llama3_8b{32, 8, 128};

void attend(benchmark::State& state, int bits, Heads heads, index rows, index context, int threads) {
  auto cache = planish::KvCache::make(
      {.kv_heads = heads.kv, .head_size = heads.size, .capacity = context, .key_bits = bits, .value_bits = bits});
  if (!cache) return state.SkipWithError("out of memory");
  const bench::FloatMatrix tokens(context, heads.kv * heads.size);
  if (!cache->append(tokens.view(), tokens.view())) return state.SkipWithError("append failed");
  const bench::FloatMatrix q(rows, heads.query * heads.size, 2);
  bench::FloatMatrix y(rows, heads.query * heads.size);
  std::vector<std::byte> memory(cache->workspace_size(rows, heads.query, threads) + planish::buffer_alignment);
  // Scores and weighted values: two multiply-adds per query head, channel and visible token.
  double visible = 0;
  for (index r = 0; r < rows; ++r) visible += static_cast<double>(context - rows + r + 1);
  const double operations = 4.0 * visible * static_cast<double>(heads.query * heads.size);
  bench::measure(state, threads, {.float_operations = operations}, [&] {
    const planish::Status status =
        cache->attend(q.view(), context - rows, 0.125f, y.view(), planish::Workspace(memory), bench::executor(threads));
    if (!status.ok()) state.SkipWithError("attend failed");
  });
}

const bool added = [] {
  for (int bits : {16, 8, 4})
    for (int threads : bench::thread_counts)
      for (auto [heads, rows, context] : {std::tuple{smollm2, index{1}, index{2048}},
                                          {smollm2, index{256}, index{2048}},
                                          {llama3_8b, index{1}, index{4096}}}) {
        bench::Path path("attend", bits == 16 ? "kv16" : bits == 8 ? "kv8" : "kv4", bench::isa);
        path.add("rows", rows).add("context", context).add("heads", heads.query).add("kv_heads", heads.kv);
        path.add("head_size", heads.size).add("threads", threads);
        bench::add(path, [heads = heads, rows = rows, context = context, bits, threads](benchmark::State& state) {
          attend(state, bits, heads, rows, context, threads);
        });
      }
  return true;
}();

}  // namespace
