// Integer products with a scale per group of columns: checks against the reference, and times.
#include <planish/kernels/cuda/multiply_plan.cuh>
#include <planish/kernels/reference/multiply.hpp>

#include "../../tests/kernels/samples.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using pl::index;
using Path = pc::MultiplyPath;

struct Case {
  int rows, channels, columns, bits, group;
  pl::Symmetry weights, activations;
};

/// Float32 outputs to the bit, in memory that was poisoned; of large shapes, some of them.
void check_case(Context& context, const Case& c, Path path, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const auto codes = samples::codes(c.channels, c.columns, c.bits, c.weights, c.group, random);
  const auto panels = pl::PackedWeights::make(codes.view());
  const auto units = pc::FragmentWeights::make(codes.view());
  const std::string name = std::string("group_scales/") + std::to_string(static_cast<int>(path)) +
                           "/bits:" + std::to_string(c.bits) + "/group:" + std::to_string(c.group) +
                           "/m:" + std::to_string(c.rows) + "/n:" + std::to_string(c.channels) +
                           "/k:" + std::to_string(c.columns);
  if (!panels || !units) return record_check(name + "/pack", false);
  const auto x = samples::floats(index{c.rows} * c.columns, random);
  const samples::Rows rows({x.data(), c.rows, c.columns}, {.bits = 8, .symmetry = c.activations});
  const auto bias = samples::floats(c.channels, random), residual = samples::floats(index{c.rows} * c.channels, random);
  const std::int64_t size = std::int64_t{c.rows} * c.channels;
  const auto plan =
      pc::plan_multiply({c.rows, c.channels, c.columns, units->view().stored_bits, pc::ElementType::float32, c.group},
                        context.capabilities, path, 1);
  if (!plan) return record_check(name + "/plan", false);
  pc::MultiplyArguments a{rows.view(), units->view()};
  a.x.codes = arena.upload(rows.view().codes, rows.view().rows * rows.view().stride);
  a.x.scales = arena.upload(rows.view().scales, c.rows);
  a.x.sums = arena.upload(rows.view().sums, c.rows);
  if (a.x.zero_points != nullptr) a.x.zero_points = arena.upload(rows.view().zero_points, c.rows);
  a.w.units = arena.upload(units->view().units, a.w.size_bytes());
  a.w.scales = arena.upload(units->view().scales, a.w.side_count());
  if (a.w.zeros != nullptr) a.w.zeros = arena.upload(units->view().zeros, a.w.side_count());
  a.w.sums = arena.upload(units->view().sums, a.w.side_count());
  a.bias = arena.upload(bias);
  a.residual = arena.upload(residual);
  a.residual_stride = c.channels;
  auto* y = arena.take<float>(size);
  require(cudaMemset(y, 0xa5, static_cast<std::size_t>(size) * 4), "poison");
  a.y = y;
  a.y_stride = c.channels;
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(cudaStreamSynchronize(context.stream), name.c_str());
  const auto made = download(y, size);
  std::int64_t wrong = 0;
  const bool all = size * c.columns < 40'000'000;
  const std::int64_t samples = all ? size : 4000;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t at = all ? i : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size)));
    const index m = at / c.channels, n = at % c.channels;
    float partial = 0.0f;
    for (index g = 0; g < panels->view().groups(); ++g)
      partial = pl::add_group(pl::kernels::reference::accumulate(rows.view(), panels->view(), m, n, g),
                              panels->view().scales[panels->view().side_index(n, g)], partial);
    const float value = pl::rescale_groups(partial, rows.view().scales[m], bias[static_cast<std::size_t>(n)]);
    wrong += made[static_cast<std::size_t>(at)] != value + residual[static_cast<std::size_t>(at)];
  }
  record_check(name + "/float32", wrong == 0);
}

void bench(Context& context, int rows, int channels, int columns, int bits, int group) {
  Arena& arena = *context.arena;
  arena.reset();
  const double weight_bytes = static_cast<double>(channels) * columns * (bits / 8.0 + 4.0 / group);
  const double bytes = weight_bytes + static_cast<double>(rows) * (columns + 2.0 * channels);
  std::vector<pc::MultiplyArguments> sets;
  for (int i = 0; i < std::min(sets_of(bytes), 16); ++i) {
    pc::MultiplyArguments a;
    const auto seed = static_cast<std::uint64_t>(i) * 1000;
    const auto filled = [&](std::int64_t size, Fill kind, std::uint64_t which) {
      auto* place = arena.take<char>(size);
      fill(place, size, kind, seed + which);
      return place;
    };
    a.x.codes = reinterpret_cast<std::int8_t*>(filled(std::int64_t{rows} * columns, Fill::bytes, 0));
    a.x.scales = reinterpret_cast<float*>(filled(std::int64_t{rows} * 4, Fill::small_floats, 1));
    a.x.rows = rows;
    a.x.columns = a.x.stride = columns;
    a.w.stored_bits = bits;
    a.w.channels = channels;
    a.w.columns = columns;
    a.w.group_columns = group;
    a.w.units = reinterpret_cast<std::uint8_t*>(filled(a.w.size_bytes(), Fill::bytes, 2));
    a.w.scales = reinterpret_cast<float*>(filled(a.w.side_count() * 4, Fill::small_floats, 3));
    a.y = arena.take<std::uint16_t>(std::int64_t{rows} * channels);
    a.y_stride = channels;
    sets.push_back(a);
  }
  const auto plan =
      pc::plan_multiply({rows, channels, columns, bits, pc::ElementType::bfloat16, group}, context.capabilities);
  require(plan.status());
  require(pc::prepare(*plan, sets[0]));
  const double t = time_graph(context, static_cast<int>(sets.size()), [&](int set) {
    require(pc::launch(*plan, sets[static_cast<std::size_t>(set)], context.stream));
  });
  char ratio[160];
  std::snprintf(ratio, sizeof ratio, "%s; %.2f of copy by weights", plan->describe(),
                weight_bytes / t * 1e6 / context.copy_bytes_per_second);
  record("group_scales/w" + std::to_string(bits) + "a8/group:" + std::to_string(group) + "/m:" + std::to_string(rows) +
             "/n:" + std::to_string(channels) + "/k:" + std::to_string(columns),
         t, bytes, 2.0 * rows * channels * columns, ratio);
}

}  // namespace

void check_group_scales(Context& context) {
  constexpr auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  std::uint64_t seed = 900;
  for (const auto path : {Path::grouped8, Path::grouped32, Path::grouped128})
    for (const int bits : {3, 4, 8}) {
      check_case(context, {1, 64, 128, bits, 64, symmetric, symmetric}, path, seed++);
      check_case(context, {5, 72, 200, bits, 32, symmetric, symmetric}, path, seed++);
      check_case(context, {37, 130, 576, bits, 128, asymmetric, asymmetric}, path, seed++);
      check_case(context, {67, 259, 1000, bits, 96, symmetric, asymmetric}, path, seed++);
      check_case(context, {200, 1000, 4096, bits, 128, symmetric, symmetric}, path, seed++);
      check_case(context, {129, 520, 11008, bits, 64, asymmetric, symmetric}, path, seed++);
    }
  context.arena->reset();
}

void bench_group_scales(Context& context) {
  for (const int rows : {1, 16, 128, 2048})
    for (const int bits : {4, 8})
      for (const int group : {32, 128}) bench(context, rows, 14336, 4096, bits, group);
  context.arena->reset();
}

}  // namespace device
