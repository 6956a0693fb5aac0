// The quantized KV cache: checks, and times.
#include "cache_checks.cuh"

namespace device {

using namespace cache_checks;

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
