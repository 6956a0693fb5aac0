#pragma once
// The quantized KV cache on a device: appended codes and dequantized rows against the reference to the bit, attention
// against float64.
#include <cstring>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>

#include "../../tests/cuda/cache_oracles.hpp"
#include "device.cuh"

namespace device {
namespace cache_checks {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using cache_oracles::at, cache_oracles::Batch;
using pc::ElementType;
using pl::index;

inline std::string name_of(const pc::CacheShape& s) {
  return "k" + std::to_string(s.key_bits) + "v" + std::to_string(s.value_bits) +
         "/kv_heads:" + std::to_string(s.kv_heads) + "/head:" + std::to_string(s.head_size);
}

/// A batch's pages, table and lengths on the device.
inline pc::CachePages upload(Arena& arena, Batch& b) {
  pc::CachePages pages = b.pages();
  pages.pages = arena.upload(b.pool_begin(), b.pool_bytes());
  pages.table = arena.upload(b.table);
  pages.lengths = arena.upload(b.lengths);
  return pages;
}
inline void fetch_pool(Batch& b, const pc::CachePages& pages) {
  require(cudaMemcpy(b.pool_begin(), pages.pages, at(b.pool_bytes()), cudaMemcpyDeviceToHost), "download");
}

/// Appends a batch, a share of every sequence first, then tokens one by one, then the rest; leaves the pages of the
/// device in `b` and on the device.
inline pc::CachePages check_append(Context& context, Batch& b, double share) {
  Arena& arena = *context.arena;
  const pc::CachePages pages = upload(arena, b);
  const int sequences = static_cast<int>(b.lengths.size());
  const ElementType type = b.keys.type;
  const index row_bytes = b.width() * pc::element_bytes(type);
  std::vector<std::int32_t> before(at(sequences)), after(at(sequences));
  auto* bad = arena.take<std::int32_t>(1);
  require(cudaMemset(bad, 0, 4), "memset");
  for (int step = 0; step < 4; ++step) {
    std::vector<std::int32_t> first_rows{0};
    std::vector<char> keys, values;
    int most = 0;
    for (index s = 0; s < sequences; ++s) {
      const int length = b.lengths[at(s)];
      after[at(s)] = step == 0  ? static_cast<int>(share * length)
                     : step < 3 ? std::min(before[at(s)] + 1, length)
                                : length;
      const int count = after[at(s)] - before[at(s)];
      most = std::max(most, count);
      first_rows.push_back(first_rows.back() + count);
      const index begin = (s * b.most + before[at(s)]) * row_bytes;
      const auto* k = static_cast<const char*>(b.keys.data()) + begin;
      const auto* v = static_cast<const char*>(b.values.data()) + begin;
      keys.insert(keys.end(), k, k + count * row_bytes);
      values.insert(values.end(), v, v + count * row_bytes);
    }
    auto plan = pc::plan_append({b.shape, sequences, most, type}, context.capabilities);
    require(plan.status());
    pc::AppendArguments a;
    keys.resize(keys.size() + 1), values.resize(values.size() + 1);
    a.keys = arena.upload(keys);
    a.values = arena.upload(values);
    a.key_stride = a.value_stride = b.width();
    a.first_rows = arena.upload(first_rows);
    a.key_clip = b.key_clip;
    a.value_clip = b.value_clip;
    a.cache = pages;
    a.cache.lengths = arena.upload(after);
    a.bad_rows = bad;
    require(pc::prepare(*plan, a));
    require(pc::launch(*plan, a, context.stream));
    require(cudaStreamSynchronize(context.stream), "append");
    fetch_pool(b, pages);
    std::string first;
    record_check("append/" + name_of(b.shape) + "/" + pc::element_name(type) + "/step:" + std::to_string(step),
                 cache_oracles::page_differences(b, after, &first) == 0);
    if (!first.empty()) std::printf("  %s\n", first.c_str());
    before = after;
  }
  std::int32_t expected = 0;
  for (index s = 0; s < sequences; ++s)
    for (index t = 0; t < b.lengths[at(s)]; ++t)
      for (int h = 0; h < b.shape.kv_heads; ++h)
        for (const bool value : {false, true})
          expected += std::isnan(stored_on_device(b, value, s, t, h).scale) ? 1 : 0;
  record_check("append/" + name_of(b.shape) + "/bad_rows", download(bad, 1)[0] == expected);
  return pages;
}

inline void check_dequantize(Context& context, Batch& b, const pc::CachePages& pages, ElementType type) {
  Arena& arena = *context.arena;
  const int sequences = static_cast<int>(b.lengths.size());
  auto plan = pc::plan_dequantize_cache({b.shape, sequences, b.most, type}, context.capabilities);
  require(plan.status());
  const index count = index{sequences} * b.most * b.width(), bytes = count * pc::element_bytes(type);
  pc::DequantizeCacheArguments a{pages,     nullptr,  arena.take<char>(bytes), arena.take<char>(bytes),
                                 b.width(), b.width()};
  require(cudaMemset(a.keys, 0xa5, at(bytes)), "memset");
  require(cudaMemset(a.values, 0xa5, at(bytes)), "memset");
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(cudaStreamSynchronize(context.stream), "dequantize");
  index wrong = 0;
  for (const bool value : {false, true}) {
    const auto made = download(static_cast<const char*>(value ? a.values : a.keys), bytes);
    for (index s = 0; s < sequences; ++s)
      for (index t = 0; t < b.lengths[at(s)]; ++t)
        for (int h = 0; h < b.shape.kv_heads; ++h) {
          const auto expected = dequantized(b, value, s, t, h);
          for (index c = 0; c < b.shape.head_size; ++c) {
            const index place = (s * b.most + t) * b.width() + h * b.shape.head_size + c;
            const auto want = static_cast<float>(cache_oracles::rounded(double{expected[at(c)]}, type));
            wrong += oracles::bits_of(pc::load_element(made.data(), type, place)) != oracles::bits_of(want);
          }
        }
  }
  record_check("dequantize_cache/" + name_of(b.shape) + "/" + pc::element_name(type), wrong == 0);
}

/// `every`: lines between two that are compared with float64.
inline void check_attend(Context& context, Batch& b, const pc::CachePages& pages, int group, int queries,
                         ElementType input, ElementType output, int splits, int every) {
  Arena& arena = *context.arena;
  pl::Random random(static_cast<std::uint64_t>(group * 100 + queries));
  const int sequences = static_cast<int>(b.lengths.size());
  const index size = b.shape.head_size, heads = index{b.shape.kv_heads} * group, width = heads * size;
  const index rows = index{sequences} * queries;
  const oracles::Input q(samples::floats(rows * width, random, 1.5), input);
  auto plan = pc::plan_attend({b.shape, sequences, static_cast<int>(heads), queries, b.most, input, output},
                              context.capabilities, splits);
  require(plan.status());
  const index bytes = rows * width * pc::element_bytes(output);
  pc::AttendArguments a;
  a.q = arena.upload(static_cast<const char*>(q.data()), rows * width * pc::element_bytes(input));
  a.y = arena.take<char>(bytes);
  a.q_stride = a.y_stride = width;
  a.softmax_scale = 0.1f;
  a.cache = pages;
  a.bad_lines = arena.take<std::int32_t>(1);
  a.workspace = arena.take<char>(plan->workspace_bytes + 16);
  require(cudaMemset(a.workspace, 0, at(plan->workspace_bytes + 16)), "memset");
  require(cudaMemset(a.bad_lines, 0, 4), "memset");
  require(cudaMemset(a.y, 0xa5, at(bytes)), "memset");
  auto again = a;
  again.y = arena.take<char>(bytes);
  require(cudaMemset(again.y, 0x5a, at(bytes)), "memset");
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(pc::launch(*plan, again, context.stream));
  require(cudaStreamSynchronize(context.stream), "attend");
  const auto y = download(static_cast<const char*>(a.y), bytes),
             y2 = download(static_cast<const char*>(again.y), bytes);
  const auto left = download(static_cast<const char*>(a.workspace), plan->workspace_bytes + 16);
  index wrong = 0;
  std::int32_t bad = 0;
  double worst = 0.0;
  for (index l = 0; l < rows * heads; ++l) {
    const index row = l / heads, h = l % heads, s = row / queries,
                visible = b.lengths[at(s)] - (queries - 1 - row % queries);
    bool finite = true;
    for (index i = 0; i < size; ++i) finite = finite && std::isfinite(pc::load_element(y.data(), output, l * size + i));
    bad += finite ? 0 : 1;
    if (l % every != 0) continue;
    const auto exact = exact_line(b, q.values.data() + l * size, s, static_cast<int>(h / group), visible,
                                  double{a.softmax_scale}, input == ElementType::float32, output);
    for (index i = 0; i < size; ++i) {
      const double made = double{pc::load_element(y.data(), output, l * size + i)},
                   off = std::abs(made - exact.y[at(i)]);
      if (std::isnan(exact.y[at(i)])) {
        wrong += !std::isnan(made);
        continue;
      }
      wrong += !(off <= exact.bound[at(i)]);
      if (exact.bound[at(i)] > 0.0) worst = std::max(worst, off / exact.bound[at(i)]);
    }
  }
  const std::string name = "attend/" + name_of(b.shape) + "/group:" + std::to_string(group) +
                           "/queries:" + std::to_string(queries) + "/" + pc::element_name(input) +
                           "/splits:" + std::to_string(plan->sharing.splits);
  record_check(name + "/values", wrong == 0);
  record_check(name + "/again", y == y2);
  record_check(name + "/workspace",
               std::count(left.begin(), left.end(), 0) == static_cast<std::ptrdiff_t>(left.size()));
  record_check(name + "/bad_lines", download(a.bad_lines, 1)[0] == 2 * bad);
  std::printf("%-70s %.3f of its bound\n", name.c_str(), worst);
  if (wrong > 0) std::printf("%s: %td of the values are wrong\n", name.c_str(), wrong);
}

/// One cache through everything.
inline void check_all(Context& context, const pc::CacheShape& shape, std::vector<std::int32_t> lengths, int group,
                      int queries, ElementType type, int splits, bool bad, std::uint64_t seed, int every = 1) {
  context.arena->reset();
  Batch b(shape, std::move(lengths), type, bad, seed);
  const pc::CachePages pages = check_append(context, b, 0.4 + 0.05 * static_cast<double>(seed % 8));
  check_dequantize(context, b, pages, type);
  check_attend(context, b, pages, group, queries, type, type, splits, every);
  check_attend(context, b, pages, group, queries, type, ElementType::float32, splits + 2, every);
  check_attend(context, b, pages, group, queries, ElementType::float32, type, 0, every);
}

}  // namespace cache_checks
}  // namespace device
