// Integer products: checks against the reference, and times.
#include <memory>

#include <planish/kernels/cuda/multiply_plan.cuh>
#include <planish/kernels/reference/multiply.hpp>

#include "../../tests/kernels/samples.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using pl::index;

struct Case {
  int rows, channels, columns, bits;
  pl::Symmetry weights, activations;
};

/// The plan's outputs against the reference; of large shapes, of some outputs.
void check_case(Context& context, const Case& c, pc::MultiplyPath path, int splits, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const auto codes = samples::codes(c.channels, c.columns, c.bits, c.weights, 0, random);
  const auto panels = pl::PackedWeights::make(codes.view());
  const auto units = pc::FragmentWeights::make(codes.view());
  if (!panels || !units) return record_check("multiply/pack", false);
  const auto x = samples::floats(index{c.rows} * c.columns, random);
  const samples::Rows rows({x.data(), c.rows, c.columns}, {.bits = 8, .symmetry = c.activations});
  const auto bias = samples::floats(c.channels, random), residual = samples::floats(index{c.rows} * c.channels, random);
  const std::int64_t size = std::int64_t{c.rows} * c.channels;

  auto plan = pc::plan_multiply({c.rows, c.channels, c.columns, units->view().stored_bits, pc::ElementType::int32},
                                context.capabilities, path, splits);
  const std::string name = std::string("multiply/") + std::to_string(static_cast<int>(path)) +
                           "/bits:" + std::to_string(c.bits) + "/m:" + std::to_string(c.rows) +
                           "/n:" + std::to_string(c.channels) + "/k:" + std::to_string(c.columns) +
                           "/splits:" + std::to_string(splits);
  if (!plan) return record_check(name + "/plan", false);
  if (leaves_out(context, plan->launch)) return;
  pc::MultiplyArguments a{rows.view(), units->view()};
  a.x.codes = arena.upload(rows.view().codes, rows.view().rows * rows.view().stride);
  a.x.scales = arena.upload(rows.view().scales, c.rows);
  a.x.sums = arena.upload(rows.view().sums, c.rows);
  if (a.x.zero_points != nullptr) a.x.zero_points = arena.upload(rows.view().zero_points, c.rows);
  a.w.units = arena.upload(units->view().units, a.w.size_bytes());
  a.w.scales = arena.upload(units->view().scales, a.w.side_count());
  if (a.w.zeros != nullptr) a.w.zeros = arena.upload(units->view().zeros, a.w.side_count());
  a.w.sums = arena.upload(units->view().sums, a.w.side_count());
  a.workspace = arena.take<char>(plan->workspace_bytes + 16);
  require(cudaMemset(a.workspace, 0, static_cast<std::size_t>(plan->workspace_bytes)), "workspace");
  auto* sums = arena.take<std::int32_t>(size);
  auto* y = arena.take<float>(size);
  auto* y16 = arena.take<std::uint16_t>(size);
  require(cudaMemset(sums, 0xa5, static_cast<std::size_t>(size) * 4), "poison");
  require(cudaMemset(y, 0xa5, static_cast<std::size_t>(size) * 4), "poison");
  a.y = sums;
  a.y_stride = c.channels;
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  plan->shape.output = pc::ElementType::float32;
  a.bias = arena.upload(bias);
  a.residual = arena.upload(residual);
  a.residual_stride = c.channels;
  a.y = y;
  require(pc::launch(*plan, a, context.stream));
  plan->shape.output = pc::ElementType::bfloat16;
  a.residual = nullptr;
  a.y = y16;
  require(pc::launch(*plan, a, context.stream));
  require(cudaStreamSynchronize(context.stream), name.c_str());
  const auto made_sums = download(sums, size);
  const auto made = download(y, size);
  const auto made16 = download(y16, size);
  const auto workspace = download(static_cast<const char*>(a.workspace), plan->workspace_bytes);

  std::int64_t wrong_sums = 0, wrong = 0, wrong16 = 0, dirty = 0;
  const bool all = size * c.columns < 40'000'000;
  const std::int64_t samples = all ? size : 4000;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t at = all ? i : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size)));
    const index m = at / c.channels, n = at % c.channels;
    const std::int32_t sum = pl::kernels::reference::accumulate(rows.view(), panels->view(), m, n, 0);
    const float value = pl::rescale(sum, rows.view().scales[m], panels->view().scales[panels->view().side_index(n, 0)],
                                    bias[static_cast<std::size_t>(n)]);
    const auto to = static_cast<std::size_t>(at);
    wrong_sums += made_sums[to] != sum;
    wrong += made[to] != value + residual[to];
    wrong16 += made16[to] != pl::BFloat16::from_float(value).bits;
  }
  for (char byte : workspace) dirty += byte != 0;
  record_check(name + "/accumulators", wrong_sums == 0);
  record_check(name + "/float32", wrong == 0);
  record_check(name + "/bfloat16", wrong16 == 0);
  record_check(name + "/workspace", dirty == 0);
}

constexpr pc::MultiplyPath paths[] = {pc::MultiplyPath::stream8,     pc::MultiplyPath::stream16,
                                      pc::MultiplyPath::stream32,    pc::MultiplyPath::tiles64,
                                      pc::MultiplyPath::tiles128,    pc::MultiplyPath::tiles256,
                                      pc::MultiplyPath::pipeline16,  pc::MultiplyPath::pipeline64,
                                      pc::MultiplyPath::pipeline128, pc::MultiplyPath::pipeline256};
constexpr const char* path_names[] = {"stream8",  "stream16",   "stream32",   "tiles64",     "tiles128",
                                      "tiles256", "pipeline16", "pipeline64", "pipeline128", "pipeline256",
                                      "grouped8", "grouped32",  "grouped128"};
constexpr int path_tokens[] = {8, 16, 32, 64, 128, 256, 16, 64, 128, 256};

/// Operand sets of one shape.
struct Sets {
  std::vector<pc::MultiplyArguments> all;

  Sets(const Context& context, int rows, int channels, int columns, int bits, int count) {
    Arena& arena = *context.arena;
    const index stride = (columns + 127) / 128 * 128;  // rows begin where lines of the cache do
    void* workspace = arena.take<char>(std::int64_t{256} << 20);
    require(cudaMemset(workspace, 0, std::size_t{256} << 20), "workspace");
    for (int i = 0; i < count; ++i) {
      pc::MultiplyArguments a;
      const auto seed = static_cast<std::uint64_t>(i) * 1000;
      auto* x = arena.take<std::int8_t>(rows * stride);
      fill(x, rows * stride, Fill::bytes, seed);
      auto* token_scales = arena.take<float>(rows);
      fill(token_scales, rows * 4, Fill::small_floats, seed + 1);
      a.x.codes = x;
      a.x.rows = rows;
      a.x.columns = columns;
      a.x.stride = stride;
      a.x.scales = token_scales;
      a.w.stored_bits = bits;
      a.w.channels = channels;
      a.w.columns = columns;
      auto* units = arena.take<std::uint8_t>(a.w.size_bytes());
      fill(units, a.w.size_bytes(), Fill::bytes, seed + 2);
      auto* scales = arena.take<float>(a.w.side_count());
      fill(scales, a.w.side_count() * 4, Fill::small_floats, seed + 3);
      a.w.units = units;
      a.w.scales = scales;
      a.y = arena.take<std::uint16_t>(std::int64_t{rows} * channels);
      a.y_stride = channels;
      a.workspace = workspace;
      all.push_back(a);
    }
  }
};

}  // namespace

void check_multiply(Context& context) {
  constexpr auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  std::uint64_t seed = 100;
  for (const auto path : paths)
    for (const int bits : {4, 8}) {
      check_case(context, {1, 64, 128, bits, symmetric, symmetric}, path, 1, seed++);
      check_case(context, {5, 72, 200, bits, symmetric, symmetric}, path, 1, seed++);
      check_case(context, {37, 130, 576, bits, asymmetric, asymmetric}, path, 3, seed++);
      check_case(context, {67, 259, 1000, bits, symmetric, asymmetric}, path, 2, seed++);
      check_case(context, {200, 1000, 4096, bits, symmetric, symmetric}, path, 1, seed++);
      check_case(context, {129, 520, 11008, bits, asymmetric, symmetric}, path, 8, seed++);
      check_case(context, {1100, 700, 2000, bits, symmetric, symmetric}, path, 1, seed++);
    }
  context.arena->reset();
}

void bench_multiply(Context& context) {
  const int shapes[][2] = {{14336, 4096}, {4096, 14336}, {4096, 4096}};
  for (const auto& [channels, columns] : shapes)
    for (const int rows : {1, 16, 32, 64, 128, 512, 2048, 8192}) {
      if (channels == columns && rows != 1 && rows != 16 && rows != 128 && rows != 8192) continue;
      context.arena->reset();
      const Timed int8 = library_product(context, Library::int8, rows, channels, columns);
      const Timed bfloat16 = library_product(context, Library::bfloat16, rows, channels, columns);
      const std::size_t used = context.arena->used();
      for (const int bits : {8, 4}) {
        context.arena->reset(used);
        const double weight_bytes = static_cast<double>(channels) * columns * bits / 8;
        const double bytes = weight_bytes + static_cast<double>(rows) * (columns + 2.0 * channels);
        const int count = std::min(sets_of(bytes), 16);
        const Sets sets(context, rows, channels, columns, bits, count);
        double best = 1e30;
        std::string note;
        for (std::size_t p = 0; p < std::size(paths); ++p) {
          const bool once = path_tokens[p] <= 64 && p != 3;
          if (path_tokens[p] < rows && once) continue;                      // one pass over the weights
          if (path_tokens[p] >= 4 * rows && path_tokens[p] > 16) continue;  // mostly empty tiles
          if (rows >= 1024 && path_tokens[p] <= 64) continue;
          for (const int splits : {1, 2, 3, 4, 6, 8, 16}) {
            if (rows >= 1024 && splits > 1) continue;
            auto plan = pc::plan_multiply({rows, channels, columns, bits, pc::ElementType::bfloat16},
                                          context.capabilities, paths[p], splits);
            if (!plan || plan->workspace_bytes > (std::int64_t{256} << 20)) continue;
            if (plan->splits != splits) continue;
            if (splits > 1 &&
                plan->channel_tiles * plan->token_tiles * (splits - 1) > 8 * context.capabilities.multiprocessors)
              continue;
            require(pc::prepare(*plan, sets.all[0]));
            const double t = time_graph(
                context, count,
                [&](int set) { require(pc::launch(*plan, sets.all[static_cast<std::size_t>(set)], context.stream)); },
                7);
            if (t >= best) continue;
            best = t;
            note = std::string(path_names[p]) + " splits " + std::to_string(splits);
          }
        }
        auto plan = pc::plan_multiply({rows, channels, columns, bits, pc::ElementType::bfloat16}, context.capabilities);
        require(plan.status());
        require(pc::prepare(*plan, sets.all[0]));
        const auto timed = [&](const pc::MultiplyPlan& how) {
          return Timed{count, [&](int set) {
                         require(pc::launch(how, sets.all[static_cast<std::size_t>(set)], context.stream));
                       }};
        };
        const std::string name = "multiply/w" + std::to_string(bits) + "a8/m:" + std::to_string(rows) +
                                 "/n:" + std::to_string(channels) + "/k:" + std::to_string(columns);
        const double operations = 2.0 * rows * channels * columns;
        const double planned = time_beside(context, name, timed(*plan), int8, bfloat16, operations);
        char ratio[160];
        std::snprintf(ratio, sizeof ratio, "%s splits %d; %.2f of copy by weights; best %.2f us: %s",
                      path_names[static_cast<int>(plan->path)], plan->splits,
                      weight_bytes / planned * 1e6 / context.copy_bytes_per_second, best, note.c_str());
        record(name, planned, bytes, operations, ratio);
        if (rows > 128) continue;
        pc::MultiplyShape early = plan->shape;
        early.early = true;  // begins while the product in front ends
        const auto begun = pc::plan_multiply(early, context.capabilities);
        require(begun.status());
        require(pc::prepare(*begun, sets.all[0]));
        record(name + "/early", time_in_turns(context, {timed(*begun)})[0], bytes, operations,
               path_names[static_cast<int>(begun->path)] + std::string(" splits ") + std::to_string(begun->splits));
      }
    }
  context.arena->reset();
}

}  // namespace device
