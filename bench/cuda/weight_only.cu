// Weight-only products: checks against exact sums, and times.
#include <planish/kernels/cuda/weight_only_plan.cuh>

#include "../../tests/cuda/float_oracles.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using pc::ElementType;
using pl::index;
using Path = pc::WeightOnlyPath;

struct Case {
  int rows, channels, columns, bits, group;
  pl::Symmetry symmetry;
  ElementType input, output;
};

constexpr Path paths[] = {Path::stream8,    Path::stream16,    Path::stream32,   Path::stream64,
                          Path::alone8,     Path::alone16,     Path::tiles64,    Path::tiles128,
                          Path::pipeline64, Path::pipeline128, Path::pipeline256};
constexpr const char* path_names[] = {"stream8", "stream16", "stream32",   "stream64",    "alone8",     "alone16",
                                      "tiles64", "tiles128", "pipeline64", "pipeline128", "pipeline256"};
constexpr int path_tokens[] = {8, 16, 32, 64, 8, 16, 64, 128, 64, 128, 256};

/// Of small integers and scales that are powers of two every output to the bit; of random values within the bound of
/// docs/cuda.md. Of large shapes some outputs. Twice, for the same bits.
void check_case(Context& context, const Case& c, Path path, int splits, bool integers, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  auto codes = samples::codes(c.channels, c.columns, c.bits, c.symmetry, c.group, random);
  if (integers) oracles::make_powers_of_two(codes, random);
  const auto weights = pc::FloatWeights::make(codes.view());
  const index count = index{c.rows} * c.columns, size = index{c.rows} * c.channels;
  const oracles::Matrix x(c.rows, c.columns, (c.columns + 7) / 8 * 8 + 8, c.input,
                          integers ? oracles::small_integers(count, random) : samples::floats(count, random));
  const oracles::Matrix residual(c.rows, c.channels, c.channels + 3, c.output, oracles::small_integers(size, random));
  const auto bias = oracles::small_integers(c.channels, random);
  const bool boxes = c.rows % 2 == 1;  // y may be written by the copy engine: no residual, rows of 16 bytes each
  oracles::Matrix y(c.rows, c.channels, boxes ? (c.channels + 7) / 8 * 8 + 8 : c.channels + 5, c.output);  // of NaN
  const std::string name = std::string("weight_only/") + path_names[static_cast<int>(path)] +
                           "/bits:" + std::to_string(c.bits) + "/group:" + std::to_string(c.group) +
                           "/m:" + std::to_string(c.rows) + "/n:" + std::to_string(c.channels) +
                           "/k:" + std::to_string(c.columns) + "/splits:" + std::to_string(splits) + "/" +
                           pc::element_name(c.input) + "/" + pc::element_name(c.output);
  if (!weights) return record_check(name + "/pack", false);
  const auto plan =
      pc::plan_weight_only({c.rows, c.channels, c.columns, weights->view().stored_bits, c.group, c.input, c.output},
                           context.capabilities, path, splits);
  if (!plan) return record_check(name + "/plan", plan.status().code() == pl::ErrorCode::unsupported);
  if (leaves_out(context, plan->launch)) return;
  pc::WeightOnlyArguments a;
  a.x = arena.upload(x.words);
  a.x_stride = x.stride;
  a.rows = c.rows;
  a.w = weights->view();
  a.w.units = arena.upload(a.w.units, a.w.size_bytes());
  a.w.scales = arena.upload(a.w.scales, a.w.side_count());
  if (a.w.zeros != nullptr) a.w.zeros = arena.upload(a.w.zeros, a.w.side_count());
  if (integers) a.bias = arena.upload(bias);
  if (integers && !boxes) {
    a.residual = arena.upload(residual.words);
    a.residual_stride = residual.stride;
  }
  auto* const poisoned = arena.upload(y.words);
  auto* const again = arena.upload(y.words);
  a.y_stride = y.stride;
  a.workspace = arena.take<char>(plan->workspace_bytes + 16);
  require(cudaMemset(a.workspace, 0, static_cast<std::size_t>(plan->workspace_bytes)), "workspace");
  require(pc::prepare(*plan, a));
  for (auto* const to : {poisoned, again}) {
    a.y = to;
    require(pc::launch(*plan, a, context.stream));
  }
  require(cudaStreamSynchronize(context.stream), name.c_str());
  y.words = download(poisoned, static_cast<std::int64_t>(y.words.size()));
  const auto second = download(again, static_cast<std::int64_t>(y.words.size()));
  const auto workspace = download(static_cast<const char*>(a.workspace), plan->workspace_bytes);

  std::int64_t wrong = 0, dirty = 0;
  const bool all = size * c.columns < 20'000'000;
  const std::int64_t samples = all ? size : 1000;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t at = all ? i : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size)));
    const index m = at / c.channels, n = at % c.channels;
    const auto exact = oracles::exact_output(x, codes.view(), m, n);
    if (integers) {
      std::uint32_t expected = 0;
      const float sum = static_cast<float>(exact.value) + bias[static_cast<std::size_t>(n)];
      pc::store_element(&expected, c.output, 0, boxes ? sum : sum + residual(m, n));
      wrong += !(y(m, n) == pc::load_element(&expected, c.output, 0));
    } else {
      wrong += !(std::abs(double{y(m, n)} - exact.value) <= oracles::allowed_error(exact, c.columns));
    }
  }
  for (const char byte : workspace) dirty += byte != 0;
  record_check(name + (integers ? "/exact" : "/bound"), wrong == 0);
  record_check(name + "/same_bits", y.words == second);
  record_check(name + "/gaps", y.gaps_are_untouched());
  record_check(name + "/workspace", dirty == 0);
}

/// Operand sets of one shape.
std::vector<pc::WeightOnlyArguments> sets(const Context& context, const pc::WeightOnlyShape& s, int count) {
  Arena& arena = *context.arena;
  void* workspace = arena.take<char>(std::int64_t{512} << 20);
  require(cudaMemset(workspace, 0, std::size_t{512} << 20), "workspace");
  std::vector<pc::WeightOnlyArguments> made;
  for (int i = 0; i < count; ++i) {
    pc::WeightOnlyArguments a;
    const auto seed = static_cast<std::uint64_t>(i) * 1000;
    a.rows = s.rows;
    a.x_stride = s.columns;
    auto* x = arena.take<std::uint16_t>(std::int64_t{s.rows} * s.columns);
    fill(x, std::int64_t{s.rows} * s.columns * 2, Fill::bfloat16, seed);
    a.x = x;
    a.w.stored_bits = s.stored_bits;
    a.w.channels = s.channels;
    a.w.columns = s.columns;
    a.w.group_columns = s.group_columns == 0 ? s.columns : s.group_columns;
    auto* units = arena.take<std::uint8_t>(a.w.size_bytes());
    fill(units, a.w.size_bytes(), Fill::bytes, seed + 2);
    auto* scales = arena.take<float>(a.w.side_count());
    fill(scales, a.w.side_count() * 4, Fill::small_floats, seed + 3);
    a.w.units = units;
    a.w.scales = scales;
    a.y = arena.take<std::uint16_t>(std::int64_t{s.rows} * s.channels);
    a.y_stride = s.channels;
    a.workspace = workspace;
    made.push_back(a);
  }
  return made;
}

/// `library`: its bfloat16 product of the shape; what the arena has behind its first `kept` bytes is used.
void bench(Context& context, const pc::WeightOnlyShape& s, const Timed& library, std::size_t kept) {
  context.arena->reset(kept);
  const double weight_bytes = static_cast<double>(s.channels) * s.columns *
                              (s.stored_bits / 8.0 + (s.group_columns == 0 ? 0.0 : 4.0 / s.group_columns));
  const double bytes = weight_bytes + 2.0 * s.rows * (static_cast<double>(s.columns) + s.channels);
  const int count = std::min(sets_of(bytes), 16);
  const auto all = sets(context, s, count);
  const auto timed = [&](const pc::WeightOnlyPlan& plan) {
    require(pc::prepare(plan, all[0]));
    return Timed{count,
                 [&](int set) { require(pc::launch(plan, all[static_cast<std::size_t>(set)], context.stream)); }};
  };
  const std::string name = "weight_only/w" + std::to_string(s.stored_bits) +
                           "a16/group:" + std::to_string(s.group_columns) + "/m:" + std::to_string(s.rows) +
                           "/n:" + std::to_string(s.channels) + "/k:" + std::to_string(s.columns) +
                           (s.input == ElementType::half ? "/half" : "");
  const double operations = 2.0 * s.rows * s.channels * s.columns;
  double best = 1e30;
  std::string note;
  for (int p = 0; p < pc::weight_only_paths; ++p) {
    if (path_tokens[p] < s.rows && p < 6) continue;                    // streams: one pass over the weights
    if (path_tokens[p] >= 4 * s.rows && path_tokens[p] > 8) continue;  // mostly empty tiles
    if (s.rows >= 1024 && p < 7) continue;
    for (const int splits : {1, 2, 3, 4, 6, 8, 12, 16}) {
      if (s.rows >= 1024 && splits > 1) continue;
      const auto plan = pc::plan_weight_only(s, context.capabilities, paths[p], splits);
      if (!plan || plan->workspace_bytes > (std::int64_t{512} << 20)) continue;
      if (splits > 1 && plan->launch.blocks > 2 * context.capabilities.multiprocessors) continue;
      const double t = time_in_turns(context, {timed(*plan)}, 5)[0];
      if (t >= best) continue;
      best = t;
      note = std::string(path_names[p]) + " splits " + std::to_string(splits);
    }
  }
  const auto plan = pc::plan_weight_only(s, context.capabilities);
  require(plan.status());
  const double planned = time_beside(context, name, timed(*plan), {}, library, operations);
  auto early_shape = s;
  early_shape.early = true;
  const auto early_plan = pc::plan_weight_only(early_shape, context.capabilities);
  require(early_plan.status());
  const double early = time_in_turns(context, {timed(*early_plan)})[0];
  const double of_copy = weight_bytes * 1e6 / context.copy_bytes_per_second;
  char ratio[200];
  std::snprintf(ratio, sizeof ratio, "%s splits %d; %.2f of copy by weights; early %.2f us, %.2f; best %.2f us: %s",
                path_names[static_cast<int>(plan->path)], plan->splits, of_copy / planned, early, of_copy / early, best,
                note.c_str());
  record(name, planned, bytes, operations, ratio);
}

}  // namespace

void check_weight_only(Context& context) {
  constexpr auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  constexpr auto brain = ElementType::bfloat16, half = ElementType::half, wide = ElementType::float32;
  std::uint64_t seed = 500;
  for (const auto path : paths)
    for (const int bits : {2, 3, 4, 8}) {
      const auto check = [&](const Case& c, int splits, bool integers) {
        if ((path != Path::stream64 && path != Path::pipeline256) || c.group == 0)
          check_case(context, c, path, splits, integers, seed);
        ++seed;
      };
      check({1, 64, 64, bits, 0, symmetric, brain, brain}, 1, true);
      check({5, 72, 200, bits, 0, symmetric, half, wide}, 1, true);
      check({37, 130, 333, bits, 0, asymmetric, brain, half}, 3, true);
      check({9, 66, 300, bits, 32, asymmetric, half, half}, 1, true);
      check({67, 259, 1000, bits, 96, asymmetric, brain, wide}, 2, true);
      check({200, 1000, 4096, bits, 128, symmetric, half, brain}, 1, true);
      check({129, 520, 11008, bits, 0, asymmetric, brain, wide}, 8, true);
      check({321, 1000, 1032, bits, 128, symmetric, brain, brain}, 1, true);
      check({1501, 1000, 520, bits, 0, asymmetric, half, half}, 1, true);
      check({1100, 700, 2000, bits, 64, symmetric, brain, wide}, 1, false);
      check({16, 1030, 8192, bits, 0, symmetric, half, wide}, 4, false);
      check({130, 300, 14336, bits, 128, asymmetric, brain, wide}, 3, false);
      check({300, 640, 4104, bits, 0, asymmetric, half, wide}, 1, false);
    }
  context.arena->reset();
}

void bench_weight_only(Context& context) {
  const int shapes[][2] = {{8192, 8192}, {14336, 4096}, {4096, 14336}, {4096, 4096}};
  for (const auto& [channels, columns] : shapes)
    for (const int rows : {1, 8, 16, 32, 64, 128, 512, 2048, 8192}) {
      if (channels == 4096 && columns == 4096 && rows != 1 && rows != 16 && rows != 128 && rows != 8192) continue;
      context.arena->reset();
      const Timed library = library_product(context, Library::bfloat16, rows, channels, columns);
      const std::size_t kept = context.arena->used();
      const auto product = [&](int bits, int group, ElementType type = ElementType::bfloat16) {
        bench(context, {rows, channels, columns, bits, group, type, type}, library, kept);
      };
      for (const int group : {0, 128}) product(4, group);
      if (channels != 8192 || (rows != 1 && rows != 16 && rows != 128 && rows != 8192)) continue;
      for (const int bits : {2, 8}) product(bits, 0);
      product(4, 32);
      product(4, 0, ElementType::half);
    }
  context.arena->reset();
}

}  // namespace device
