// The quantized KV cache: appended codes and dequantized rows against the reference to the bit, attention against
// float64, and times.
#include <cstring>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>

#include "../../tests/cuda/cache_oracles.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using cache_oracles::at, cache_oracles::Batch;
using pc::ElementType;
using pl::index;

std::string name_of(const pc::CacheShape& s) {
  return "k" + std::to_string(s.key_bits) + "v" + std::to_string(s.value_bits) +
         "/kv_heads:" + std::to_string(s.kv_heads) + "/head:" + std::to_string(s.head_size);
}

/// A batch's pages, table and lengths on the device.
pc::CachePages upload(Arena& arena, Batch& b) {
  pc::CachePages pages = b.pages();
  pages.pages = arena.upload(b.pool_begin(), b.pool_bytes());
  pages.table = arena.upload(b.table);
  pages.lengths = arena.upload(b.lengths);
  return pages;
}
void fetch_pool(Batch& b, const pc::CachePages& pages) {
  require(cudaMemcpy(b.pool_begin(), pages.pages, at(b.pool_bytes()), cudaMemcpyDeviceToHost), "download");
}

/// Appends a batch, a share of every sequence first, then tokens one by one, then the rest; leaves the pages of the
/// device in `b` and on the device.
pc::CachePages check_append(Context& context, Batch& b, double share) {
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
    record_check("append/" + name_of(b.shape) + "/" + pc::element_name(type) + "/step:" + std::to_string(step),
                 cache_oracles::page_differences(b, after) == 0);
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

void check_dequantize(Context& context, Batch& b, const pc::CachePages& pages, ElementType type) {
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
void check_attend(Context& context, Batch& b, const pc::CachePages& pages, int group, int queries, ElementType input,
                  ElementType output, int splits, int every) {
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
void check_all(Context& context, const pc::CacheShape& shape, std::vector<std::int32_t> lengths, int group, int queries,
               ElementType type, int splits, bool bad, std::uint64_t seed, int every = 1) {
  context.arena->reset();
  Batch b(shape, std::move(lengths), type, bad, seed);
  const pc::CachePages pages = check_append(context, b, 0.4 + 0.05 * static_cast<double>(seed % 8));
  check_dequantize(context, b, pages, type);
  check_attend(context, b, pages, group, queries, type, type, splits, every);
  check_attend(context, b, pages, group, queries, type, ElementType::float32, splits + 2, every);
  check_attend(context, b, pages, group, queries, ElementType::float32, type, 0, every);
}

}  // namespace

void check_cache(Context& context) {
  const auto single = ElementType::float32, brain = ElementType::bfloat16, half = ElementType::half;
  std::uint64_t seed = 1;
  check_all(context, {2, 128, 4, 4}, {700, 64, 1, 0, 333}, 4, 1, brain, 1, false, seed++);
  check_all(context, {2, 128, 2, 2}, {130, 65, 200}, 8, 1, half, 1, false, seed++);
  check_all(context, {1, 128, 8, 8}, {300, 63, 500}, 1, 1, single, 2, false, seed++);
  check_all(context, {2, 128, 4, 2}, {300, 63, 129}, 3, 2, half, 1, false, seed++);
  check_all(context, {2, 64, 4, 3}, {190, 0, 257}, 3, 1, brain, 1, false, seed++);
  check_all(context, {1, 64, 8, 8}, {170, 128}, 5, 1, brain, 3, false, seed++);
  check_all(context, {1, 64, 2, 4}, {70, 129, 1000}, 6, 2, half, 3, false, seed++);
  check_all(context, {1, 48, 4, 2}, {40, 129}, 16, 1, single, 1, false, seed++);
  check_all(context, {1, 16, 8, 4}, {70, 30, 640}, 9, 1, half, 2, false, seed++);
  check_all(context, {2, 80, 4, 4}, {70, 133, 515}, 4, 1, brain, 2, false, seed++);
  check_all(context, {1, 96, 8, 2}, {70, 20, 384}, 12, 1, single, 1, false, seed++);
  check_all(context, {1, 112, 2, 8}, {170, 20}, 2, 5, half, 1, false, seed++);
  check_all(context, {2, 256, 4, 4}, {101, 20, 620}, 4, 1, brain, 3, false, seed++);
  check_all(context, {1, 240, 2, 2}, {380}, 3, 1, single, 1, false, seed++);
  check_all(context, {1, 256, 8, 8}, {270, 64}, 10, 3, half, 2, false, seed++);
  check_all(context, {1, 144, 5, 6}, {97, 40}, 16, 1, brain, 1, false, seed++);
  check_all(context, {1, 192, 3, 3}, {97, 240}, 1, 16, half, 2, false, seed++);
  check_all(context, {3, 64, 4, 4}, {140, 300, 5}, 3, 1, brain, 1, true, seed++);
  check_all(context, {2, 128, 8, 4}, {12, 18, 400}, 2, 3, half, 2, true, seed++);
  check_all(context, {8, 128, 4, 4}, {4100, 2000, 1}, 4, 1, brain, 0, false, seed++, 7);
  context.arena->reset();
}

namespace {

/// Pages whose codes are random and whose scales are numbers, dealt in a shuffled order; one set of a benchmark.
pc::CachePages take_pages(Arena& arena, const pc::CacheShape& shape, int sequences, int tokens, std::uint64_t seed) {
  pc::CachePages pages;
  pages.layout = pc::cache_layout_of(shape);
  pages.table_stride = (tokens + pc::cache_page - 1) / pc::cache_page;
  const std::int64_t count = std::int64_t{sequences} * pages.table_stride, bytes = count * pages.layout.page_bytes();
  pages.pages = arena.take<std::uint8_t>(bytes);
  fill(pages.pages, bytes, Fill::small_floats, seed);
  std::vector<std::int32_t> table(at(count)), lengths(at(sequences), tokens);
  for (std::int64_t i = 0; i < count; ++i) table[at(i)] = static_cast<std::int32_t>(i);
  pl::Random random(seed);
  for (std::int64_t i = count - 1; i > 0; --i)
    std::swap(table[at(i)], table[random.below(static_cast<std::uint64_t>(i) + 1)]);
  pages.table = arena.upload(table);
  pages.lengths = arena.upload(lengths);
  return pages;
}

std::string of_copy(const Context& context, double bytes, double microseconds) {
  char ratio[64];
  std::snprintf(ratio, sizeof ratio, "%.2f of copy", bytes / microseconds * 1e6 / context.copy_bytes_per_second);
  return ratio;
}

void bench_attend(Context& context, const pc::CacheShape& shape, int group, int queries, int sequences, int tokens,
                  ElementType input, bool sweep) {
  Arena& arena = *context.arena;
  arena.reset();
  const pc::CacheLayout layout = pc::cache_layout_of(shape);
  const int heads = shape.kv_heads * group;
  const std::int64_t width = std::int64_t{heads} * shape.head_size, rows = std::int64_t{sequences} * queries;
  const double bytes =
      static_cast<double>(sequences) * ((tokens + 63) / 64) * static_cast<double>(layout.page_bytes()) +
      2.0 * static_cast<double>(rows * width) * pc::element_bytes(input);
  const pc::AttendShape planned{shape, sequences, heads, queries, tokens, input, input};
  std::vector<pc::AttendArguments> sets;
  constexpr int most_splits = 64;
  auto largest = pc::plan_attend(planned, context.capabilities, sweep ? most_splits : 0);
  require(largest.status());
  for (int i = 0; i < sets_of(bytes); ++i) {
    pc::AttendArguments a;
    auto* q = arena.take<char>(rows * width * pc::element_bytes(input));
    fill(q, rows * width * pc::element_bytes(input),
         input == ElementType::bfloat16 ? Fill::bfloat16 : Fill::small_floats, static_cast<std::uint64_t>(i));
    a.q = q;
    a.y = arena.take<char>(rows * width * pc::element_bytes(input));
    a.q_stride = a.y_stride = width;
    a.softmax_scale = 0.088f;
    a.cache = take_pages(arena, shape, sequences, tokens, static_cast<std::uint64_t>(i));
    a.workspace = arena.take<char>(largest->workspace_bytes + 16);
    require(cudaMemset(a.workspace, 0, at(largest->workspace_bytes + 16)), "memset");
    sets.push_back(a);
  }
  const auto time = [&](const pc::AttendPlan& plan, int replays) {
    require(pc::prepare(plan, sets[0]));
    return time_graph(
        context, static_cast<int>(sets.size()),
        [&](int set) { require(pc::launch(plan, sets[at(set)], context.stream)); }, replays);
  };
  auto plan = pc::plan_attend(planned, context.capabilities);
  require(plan.status());
  const double t = time(*plan, 15);
  const double operations = 4.0 * static_cast<double>(rows) * heads * tokens * shape.head_size;
  record("attend/" + name_of(shape) + "/group:" + std::to_string(group) + "/queries:" + std::to_string(queries) + "/" +
             pc::element_name(input) + "/batch:" + std::to_string(sequences) + "/context:" + std::to_string(tokens),
         t, bytes, operations, of_copy(context, bytes, t) + ", splits " + std::to_string(plan->sharing.splits));
  if (!sweep) return;
  for (const int splits : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64}) {
    auto other = pc::plan_attend(planned, context.capabilities, splits);
    require(other.status());
    for (int warps = 1; warps <= plan->sharing.warps; ++warps) {
      auto narrow = *other;
      narrow.sharing.warps = warps;
      narrow.launch.threads = 32 * warps;
      narrow.launch.shared_bytes = pc::with_attend_size(narrow.path, [&](auto size) {
        return pc::attend_memory<decltype(size)>(narrow.layout, warps, narrow.sharing.parts).bytes;
      });
      if (warps < 3 && splits > 16) continue;
      std::printf("    splits %2d warps %d: %.2f us\n", splits, warps, time(narrow, 5));
    }
  }
}

void bench_append(Context& context, const pc::CacheShape& shape, int sequences, int tokens) {
  Arena& arena = *context.arena;
  arena.reset();
  const pc::CacheLayout layout = pc::cache_layout_of(shape);
  const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_size, rows = std::int64_t{sequences} * tokens;
  const double bytes =
      static_cast<double>(rows) * (4.0 * static_cast<double>(width) + static_cast<double>(layout.page_bytes()) / 64.0);
  const int context_tokens = tokens > 1 ? tokens : 1024;
  std::vector<pc::AppendArguments> sets;
  for (int i = 0; i < sets_of(bytes); ++i) {
    pc::AppendArguments a;
    auto* keys = arena.take<std::uint16_t>(rows * width);
    auto* values = arena.take<std::uint16_t>(rows * width);
    fill(keys, rows * width * 2, Fill::bfloat16, static_cast<std::uint64_t>(i));
    fill(values, rows * width * 2, Fill::bfloat16, static_cast<std::uint64_t>(i) + 100);
    a.keys = keys;
    a.values = values;
    a.key_stride = a.value_stride = width;
    a.cache = take_pages(arena, shape, sequences, context_tokens, static_cast<std::uint64_t>(i));
    sets.push_back(a);
  }
  auto plan = pc::plan_append({shape, sequences, tokens}, context.capabilities);
  require(plan.status());
  require(pc::prepare(*plan, sets[0]));
  const double t = time_graph(context, static_cast<int>(sets.size()),
                              [&](int set) { require(pc::launch(*plan, sets[at(set)], context.stream)); });
  record("append/" + name_of(shape) + "/batch:" + std::to_string(sequences) + "/tokens:" + std::to_string(tokens), t,
         bytes, 0.0, of_copy(context, bytes, t));
}

void bench_dequantize(Context& context, const pc::CacheShape& shape, int sequences, int tokens) {
  Arena& arena = *context.arena;
  arena.reset();
  const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_size, rows = std::int64_t{sequences} * tokens;
  const double bytes = static_cast<double>(rows) * 4.0 * static_cast<double>(width) +
                       static_cast<double>(rows) / 64.0 * static_cast<double>(pc::cache_layout_of(shape).page_bytes());
  std::vector<pc::DequantizeCacheArguments> sets;
  for (int i = 0; i < sets_of(bytes); ++i)
    sets.push_back({take_pages(arena, shape, sequences, tokens, static_cast<std::uint64_t>(i)), nullptr,
                    arena.take<std::uint16_t>(rows * width), arena.take<std::uint16_t>(rows * width), width, width});
  auto plan = pc::plan_dequantize_cache({shape, sequences, tokens}, context.capabilities);
  require(plan.status());
  require(pc::prepare(*plan, sets[0]));
  const double t = time_graph(context, static_cast<int>(sets.size()),
                              [&](int set) { require(pc::launch(*plan, sets[at(set)], context.stream)); });
  record("dequantize_cache/" + name_of(shape) + "/batch:" + std::to_string(sequences) +
             "/context:" + std::to_string(tokens),
         t, bytes, 0.0, of_copy(context, bytes, t));
}

}  // namespace

void bench_cache(Context& context) {
  const auto brain = ElementType::bfloat16;
  for (const int bits : {4, 8, 2})
    for (const int sequences : {1, 32, 64})
      for (const int tokens : {1024, 8192})
        bench_attend(context, {8, 128, bits, bits}, 4, 1, sequences, tokens, brain,
                     bits == 4 && sequences < 64 && tokens == 8192);
  for (const int size : {64, 80, 96, 256}) bench_attend(context, {8, size, 4, 4}, 4, 1, 32, 8192, brain, size == 256);
  bench_attend(context, {8, 128, 4, 2}, 4, 1, 32, 8192, brain, false);
  bench_attend(context, {8, 128, 4, 4}, 8, 1, 32, 8192, brain, false);
  bench_attend(context, {8, 128, 4, 4}, 16, 1, 32, 8192, brain, false);
  bench_attend(context, {32, 128, 4, 4}, 1, 1, 8, 8192, brain, false);
  bench_attend(context, {8, 128, 4, 4}, 4, 2, 32, 8192, brain, false);
  bench_attend(context, {8, 128, 4, 4}, 4, 4, 32, 8192, brain, false);
  bench_attend(context, {8, 128, 4, 4}, 4, 1, 32, 8192, ElementType::float32, false);
  for (const int bits : {4, 8}) {
    for (const int sequences : {1, 32, 64}) bench_append(context, {8, 128, bits, bits}, sequences, 1);
    for (const int tokens : {1024, 8192}) bench_append(context, {8, 128, bits, bits}, 1, tokens);
    bench_append(context, {8, 128, bits, bits}, 8, 8192);
    bench_dequantize(context, {8, 128, bits, bits}, 1, 8192);
    bench_dequantize(context, {8, 128, bits, bits}, 8, 8192);
  }
  context.arena->reset();
}

}  // namespace device
