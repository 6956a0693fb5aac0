// Attention over a quantized cache: one token over a long context, in both precisions, and a block of prefill.
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kv_cache/kv_cache.hpp>

#include "support/operands.hpp"
#include "support/suite.hpp"

namespace {

using planish::index;

struct Heads {
  index query, kv, size;
};
constexpr Heads smollm2{9, 3, 64}, llama3_8b{32, 8, 128};

/// Bytes of codes, scales and zero points (or floats) that attention over so many tokens reads.
double bytes_of(const planish::KvPages& pages, index heads, index tokens) {
  const index count = (tokens + planish::page_tokens - 1) / planish::page_tokens;
  const index floats = pages.bits == 16 ? pages.float_page_size : planish::page_tokens;  // of values, or of scales
  const index page = pages.code_page_size + floats * 4 + (pages.bits == 16 ? 0 : planish::page_tokens);
  return static_cast<double>(heads * count * page);
}

/// One token meets caches that have left the processor's own, as between two tokens of a whole model: so many copies
/// are walked through. A block of rows meets one.
void attend(benchmark::State& state, int bits, planish::AttentionPrecision precision, Heads heads, index rows,
            index context, int threads) {
  std::vector<planish::KvCache> caches;
  const bench::FloatMatrix tokens(context, heads.kv * heads.size);
  double bytes = 0;
  do {
    auto cache = planish::KvCache::make({.kv_heads = heads.kv,
                                         .head_size = heads.size,
                                         .capacity = context,
                                         .key_bits = bits,
                                         .value_bits = bits,
                                         .precision = precision});
    if (!cache) return state.SkipWithError("out of memory");
    if (!cache->append(tokens.view(), tokens.view())) return state.SkipWithError("append failed");
    bytes = bytes_of(cache->keys(), heads.kv, context) + bytes_of(cache->values(), heads.kv, context);
    caches.push_back(std::move(*cache));
  } while (rows == 1 && bytes * static_cast<double>(caches.size()) < static_cast<double>(bench::cold_bytes));
  const bench::FloatMatrix q(rows, heads.query * heads.size, 2);
  bench::FloatMatrix y(rows, heads.query * heads.size);
  std::vector<std::byte> memory(caches[0].workspace_size(rows, heads.query, threads) + planish::buffer_alignment);
  // Scores and weighted values: two multiply-adds per query head, channel and visible token.
  double visible = 0;
  for (index r = 0; r < rows; ++r) visible += static_cast<double>(context - rows + r + 1);
  bench::Work work{.float_operations = 4.0 * visible * static_cast<double>(heads.query * heads.size)};
  if (rows == 1) work = {.bytes = bytes};
  std::size_t turn = 0;
  bench::measure(state, threads, work, [&] {
    const planish::Status status = caches[turn].attend(q.view(), context - rows, 0.125f, y.view(),
                                                       planish::Workspace(memory), bench::executor(threads));
    turn = (turn + 1) % caches.size();
    if (!status.ok()) state.SkipWithError("attend failed");
  });
}

const bool added = [] {
  using planish::AttentionPrecision;
  for (auto [kind, bits, precision] : {std::tuple{"kv16", 16, AttentionPrecision::floats},
                                       {"kv8", 8, AttentionPrecision::floats},
                                       {"kv4", 4, AttentionPrecision::floats},
                                       {"kv8q8p8", 8, AttentionPrecision::q8p8},
                                       {"kv4q8p8", 4, AttentionPrecision::q8p8}})
    for (int threads : bench::thread_counts)
      for (auto [heads, rows, context] : {std::tuple{smollm2, index{1}, index{2048}},
                                          {smollm2, index{256}, index{2048}},
                                          {llama3_8b, index{1}, index{4096}}}) {
        if (precision == AttentionPrecision::q8p8 && rows > 1) continue;  // its operations are no floats
        bench::Path path("attend", kind, bench::isa);
        path.add("rows", rows).add("context", context).add("heads", heads.query).add("kv_heads", heads.kv);
        path.add("head_size", heads.size).add("threads", threads);
        bench::add(path,
                   [heads = heads, rows = rows, context = context, bits = bits, precision = precision, threads](
                       benchmark::State& state) { attend(state, bits, precision, heads, rows, context, threads); });
      }
  return true;
}();

}  // namespace
