// What a layer does beside its products, in one launch each: norm or gate before a transform, heads to rows and codes.
// Checks, and times.
#include <planish/kernels/cuda/append_heads_plan.cuh>
#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "../../tests/cuda/heads_oracles.hpp"
#include "../../tests/cuda/prologue_oracles.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using cache_oracles::at;
using pl::index;

const char* prologue_name(pc::Prologue p) {
  return p == pc::Prologue::none ? "none" : p == pc::Prologue::rms_norm ? "rms_norm" : "swiglu";
}

pl::QuantizedRowsSpan take_rows(Arena& arena, pl::QuantizedRowsSpan like) {
  like.codes = arena.take<std::int8_t>(like.rows * like.stride);
  like.scales = arena.take<float>(like.rows);
  like.sums = arena.take<std::int32_t>(like.rows);
  like.zero_points = nullptr;
  return like;
}
void fetch_rows(pl::QuantizedRowsSpan to, pl::QuantizedRowsSpan from) {
  oracles::bring(to, from, [](void* place, const void* source, std::size_t bytes) {
    require(cudaMemcpy(place, source, bytes, cudaMemcpyDeviceToHost), "download");
  });
}

pc::PrologueArguments upload_prologue(Arena& arena, const oracles::Produced& produced, index n) {
  pc::PrologueArguments p = produced.arguments();
  if (p.gain != nullptr) p.gain = arena.upload(p.gain, n);
  if (p.up != nullptr)
    p.up = arena.upload(static_cast<const char*>(p.up),
                        static_cast<std::int64_t>(produced.values.size()) * pc::element_bytes(produced.up.type));
  if (p.offset != nullptr) p.offset = arena.upload(p.offset, n);
  if (p.scale != nullptr) p.scale = arena.upload(p.scale, n);
  return p;
}

/// The float32 transform behind a prologue, or behind offsets and scales of columns as well: the reference's codes, to
/// the bit.
void check_exact(Context& context, int n1, int n2, pc::Prologue prologue, bool maps, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const index rows = 9, n = index{n1} * n2;
  const oracles::Produced produced(prologue, rows, n, pc::ElementType::bfloat16, seed % 2 == 0, true, random, maps);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  std::vector<float> y(at(rows * n)), scratch(at(8 * n));
  pl::kernels::reference::kronecker_rows<float>({produced.values.data(), rows, n}, n1, n2, left.data(), right.data(),
                                                {y.data(), rows, n}, scratch);
  const pl::RowQuantizer q{.bits = 4, .clip = {0.9f, 0.95f}};
  const samples::Rows expected({y.data(), rows, n}, q), made(rows, n, false);
  pc::KroneckerShape shape{static_cast<int>(rows), n1, n2, pc::ElementType::bfloat16, pc::ElementType::float32};
  shape.prologue = prologue;
  const auto plan = pc::plan_kronecker(shape, context.capabilities);
  require(plan.status());
  pc::ExactArguments a;
  a.x = arena.upload(produced.x.halves);
  a.row_stride = n;
  a.factors = {n1, n2, arena.upload(left), arena.upload(right)};
  a.quantizer = q;
  a.out = take_rows(arena, made.span());
  a.prologue = upload_prologue(arena, produced, n);
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(cudaStreamSynchronize(context.stream), "prologue in float32");
  fetch_rows(made.span(), a.out);
  record_check(std::string("prologue/") + prologue_name(prologue) + (maps ? "/maps" : "") + "/exact/" +
                   std::to_string(n1) + "x" + std::to_string(n2),
               oracles::differences(made.span(), expected.view(), pc::CodeForm::bytes, true) == 0);
}

__global__ void compare_gates(const std::uint16_t* ups, int count, unsigned* most_units, unsigned* wrong) {
  const unsigned bits = blockIdx.x * blockDim.x + threadIdx.x;  // of every gate
  const float gate = pc::widen(pl::BFloat16{static_cast<std::uint16_t>(bits)});
  for (int i = 0; i < count; ++i) {
    const float up = pc::widen(pl::BFloat16{ups[i]}), formula = pc::gated(gate, up);
    const pc::Vector16 made =
        pc::gated_rounded<pl::BFloat16>({{bits, bits, bits, bits}}, {{ups[i], ups[i], ups[i], 0}});
    if (!pl::is_finite(formula)) continue;  // is lost anyway, and the row with it
    const auto near = __float_as_int(pc::nearly_gated(gate, up)), exact = __float_as_int(formula);
    if (bits <= pc::swiglu_quick_gates) atomicMax(most_units, static_cast<unsigned>(abs(near - exact)));
    if ((made.words[0] & 0xffffu) != (pc::round_pair(pl::BFloat16{}, formula, 0.0f) & 0xffffu)) atomicAdd(wrong, 1u);
  }
}

/// Every gate of bfloat16 beside some hundred other factors: no quick product is further off than is believed, and
/// none is rounded to another number than the formula's.
void check_gates(Context& context) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(77);
  std::vector<std::uint16_t> ups{0x3f80, 0x3fff, 0x0001, 0x8080, 0x7f7f, 0xff80, 0x0000};
  while (ups.size() < 300) ups.push_back(static_cast<std::uint16_t>(random.bits()));
  auto* const out = arena.take<unsigned>(2);
  require(cudaMemset(out, 0, 8), "gates");
  compare_gates<<<256, 256, 0, context.stream>>>(arena.upload(ups), static_cast<int>(ups.size()), out, out + 1);
  require(cudaStreamSynchronize(context.stream), "gates");
  const auto found = download(out, 2);
  std::printf("SwiGLU by quick units: off by %u units at most\n", found[0]);
  record_check("prologue/swiglu/units_off", found[0] < pc::swiglu_doubt);
  record_check("prologue/swiglu/every_gate", found[1] == 0);
}

/// Matrix units: the bits of the same transform on the same products of rows that the reference's prologue made and
/// that were rounded. Other products have their own codes next to a tie.
void check_units(Context& context, int n1, int n2, index rows, pc::Prologue prologue, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const index n = index{n1} * n2;
  const auto type = pc::ElementType::bfloat16;
  const oracles::Produced produced(prologue, rows, n, type, seed % 2 == 0, false, random);
  const oracles::Input rounded(produced.values, type);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  const auto factors = pc::KroneckerFactors::make(n1, n2, left.data(), right.data(), type);
  require(factors.status());
  samples::Rows expected(rows, n, false), made(rows, n, false);
  for (const bool with : {false, true}) {
    pc::KroneckerShape shape{static_cast<int>(rows), n1, n2};
    if (with) shape.prologue = prologue;
    shape.groups = with || pc::prologue_group_path(n1, n2) != pc::KroneckerGroupPath::none;
    shape.background = n2 % 8 == 0;
    shape.early = with;
    const auto plan = pc::plan_kronecker(shape, context.capabilities);
    require(plan.status());
    pc::KroneckerArguments a;
    a.x = arena.upload(with ? produced.x.halves : rounded.halves);
    a.row_stride = n;
    a.factors = factors->view();
    a.factors.left = arena.upload(a.factors.left, a.factors.left_size());
    a.factors.right = arena.upload(a.factors.right, a.factors.right_size());
    if (a.factors.panels_size() > 0 && seed % 3 != 0)
      a.factors.panels = arena.upload(factors->panels(), a.factors.panels_size());
    a.quantizer = {.bits = 4, .clip = {0.9f, 0.95f}};
    a.out = take_rows(arena, made.span());
    if (with) a.prologue = upload_prologue(arena, produced, n);
    require(pc::prepare(*plan, a));
    require(pc::launch(*plan, a, context.stream));
    require(cudaStreamSynchronize(context.stream), "prologue");
    fetch_rows((with ? made : expected).span(), a.out);
  }
  record_check(std::string("prologue/") + prologue_name(prologue) + "/units/" + std::to_string(n1) + "x" +
                   std::to_string(n2) + "/m:" + std::to_string(rows),
               oracles::differences(made.span(), expected.view(), pc::CodeForm::bytes, true) == 0);
}

void check_heads(Context& context, const pc::CacheShape& shape, int heads, std::vector<std::int32_t> lengths, int pairs,
                 bool interleaved, bool transforms, const std::vector<int>& steps, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  const auto type = seed % 2 == 0 ? pc::ElementType::half : pc::ElementType::bfloat16;
  cache_oracles::HeadsBatch b(shape, heads, std::move(lengths), pairs, interleaved, type, seed);
  const index sequences = static_cast<index>(b.batch.lengths.size()), width = index{heads} * shape.head_size;
  auto* const pool = arena.upload(b.batch.pool_begin(), b.batch.pool_bytes());
  pc::AppendHeadsArguments a;
  a.x_stride = b.stride();
  a.q_stride = width;
  a.rotary = b.rotary;
  const index table = (index{b.batch.most} * pairs + 3) / 4 * 4;
  a.rotary.cosines = arena.upload(b.rotary.cosines, table);
  a.rotary.sines = arena.upload(b.rotary.sines, table);
  if (transforms) {
    a.queries = b.query_factors.view();
    a.keys = b.key_factors.view();
    a.queries.right = arena.upload(a.queries.right, a.queries.right_size());
    a.keys.right = arena.upload(a.keys.right, a.keys.right_size());
  }
  a.key_clip = b.batch.key_clip;
  a.value_clip = b.batch.value_clip;
  a.cache = b.batch.pages();
  a.cache.pages = pool;
  a.cache.table = arena.upload(b.batch.table);
  std::vector<std::int32_t> before(at(sequences)), after(at(sequences));
  index wrong = 0;
  for (const int step : steps) {
    std::vector<std::int32_t> first_rows{0};
    std::vector<std::uint16_t> x;
    for (index s = 0; s < sequences; ++s) {
      after[at(s)] = std::min(b.batch.lengths[at(s)], before[at(s)] + step);
      first_rows.push_back(first_rows.back() + after[at(s)] - before[at(s)]);
      const auto* row = b.x() + (s * b.batch.most + before[at(s)]) * b.stride();
      x.insert(x.end(), row, row + (after[at(s)] - before[at(s)]) * b.stride());
    }
    const auto plan =
        pc::plan_append_heads({shape, heads, static_cast<int>(sequences), step, type}, context.capabilities);
    require(plan.status());
    a.x = arena.upload(x);
    auto* const q = arena.take<std::uint16_t>(first_rows.back() * width + 1);
    a.q = q;
    a.first_rows = arena.upload(first_rows);
    a.cache.lengths = arena.upload(after);
    require(pc::prepare(*plan, a));
    require(pc::launch(*plan, a, context.stream));
    require(cudaStreamSynchronize(context.stream), "heads");
    wrong += b.wrong_queries(download(q, first_rows.back() * width), before, after, transforms);
    require(cudaMemcpy(b.batch.pool_begin(), pool, at(b.batch.pool_bytes()), cudaMemcpyDeviceToHost), "download");
    wrong += transforms ? b.wrong_keys(after) : cache_oracles::page_differences(b.batch, after);
    before = after;
  }
  record_check("heads/" + std::to_string(heads) + "x" + std::to_string(shape.head_size) +
                   (transforms ? "/transformed/" : "/") + std::to_string(seed),
               wrong == 0);
}

void bench_prologue(Context& context, int n1, int n2, int rows, pc::Prologue prologue) {
  const int n = n1 * n2, inputs = prologue == pc::Prologue::swiglu ? 2 : 1;
  const double bytes = static_cast<double>(rows) * n * (2.0 * inputs + 1.0);
  Arena& arena = *context.arena;
  arena.reset();
  std::vector<pc::KroneckerArguments> sets;
  for (int i = 0; i < sets_of(bytes); ++i) {
    pc::KroneckerArguments a;
    auto* const x = arena.take<std::uint16_t>(std::int64_t{rows} * n * inputs);
    fill(x, std::int64_t{rows} * n * inputs * 2, Fill::bfloat16, static_cast<std::uint64_t>(i));
    a.x = x;
    a.row_stride = std::int64_t{n} * inputs;
    a.factors = {n1, n2, pc::ElementType::bfloat16};
    auto* const left = arena.take<std::uint16_t>(a.factors.left_size());
    auto* const right = arena.take<std::uint16_t>(a.factors.right_size());
    fill(left, a.factors.left_size() * 2, Fill::bfloat16, 1000);
    fill(right, a.factors.right_size() * 2, Fill::bfloat16, 1001);
    auto* const panels = arena.take<std::uint16_t>(a.factors.panels_size());
    fill(panels, a.factors.panels_size() * 2, Fill::bfloat16, 1002);
    a.factors.left = left;
    a.factors.right = right;
    a.factors.panels = panels;
    a.quantizer.bits = 4;
    a.out = {.rows = rows, .columns = n, .stride = n};
    a.out.codes = arena.take<std::int8_t>(std::int64_t{rows} * n);
    a.out.scales = arena.take<float>(rows);
    if (prologue == pc::Prologue::swiglu) a.prologue = {.up = x + n, .up_stride = 2 * n};
    if (prologue == pc::Prologue::rms_norm) {
      auto* const gain = arena.take<float>(n);
      fill(gain, n * 4, Fill::small_floats, 7);
      a.prologue = {.gain = gain, .epsilon = 1e-5f};
    }
    sets.push_back(a);
  }
  pc::KroneckerShape shape{rows, n1, n2};
  shape.prologue = prologue;
  const auto plan = pc::plan_kronecker(shape, context.capabilities);
  require(plan.status());
  require(pc::prepare(*plan, sets[0]));
  const double t = time_graph(context, static_cast<int>(sets.size()),
                              [&](int set) { require(pc::launch(*plan, sets[at(set)], context.stream)); });
  char ratio[48];
  std::snprintf(ratio, sizeof ratio, "%.2f of copy", bytes / t * 1e6 / context.copy_bytes_per_second);
  record(std::string("prologue/") + prologue_name(prologue) + "/m:" + std::to_string(rows) +
             "/n:" + std::to_string(n1) + "x" + std::to_string(n2),
         t, bytes, 2.0 * rows * n * (n1 + n2), ratio);
}

}  // namespace

void check_layer_steps(Context& context) {
  std::uint64_t seed = 1;
  check_gates(context);
  const int exact[][2] = {{1, 5}, {7, 12}, {64, 64}, {112, 128}};
  for (const auto prologue : {pc::Prologue::none, pc::Prologue::rms_norm, pc::Prologue::swiglu})
    for (const auto& [n1, n2] : exact) check_exact(context, n1, n2, prologue, true, 1000 + seed++);
  for (const auto prologue : {pc::Prologue::rms_norm, pc::Prologue::swiglu}) {
    for (const auto& [n1, n2] : exact) check_exact(context, n1, n2, prologue, false, seed++);
    const int sizes[][2] = {{64, 64}, {112, 128}, {32, 128}, {60, 40}, {7, 12}, {128, 224}, {172, 64}};
    for (const auto& [n1, n2] : sizes)
      for (const index rows : {1, 70, 600}) check_units(context, n1, n2, rows, prologue, seed++);
  }
  check_heads(context, {2, 128, 4, 4}, 8, {121, 0, 236}, 64, false, false, {20, 1, 3, 112, 100}, 1);
  check_heads(context, {1, 64, 8, 2}, 3, {40}, 16, false, false, {9, 8, 23}, 2);
  check_heads(context, {3, 80, 2, 8}, 3, {5, 18}, 40, true, false, {1, 17}, 3);
  check_heads(context, {18, 32, 4, 4}, 36, {3, 2}, 16, false, false, {1, 2}, 5);
  check_heads(context, {1, 256, 4, 4}, 2, {12}, 64, true, false, {11, 1}, 6);
  check_heads(context, {8, 128, 4, 4}, 32, {121, 0, 236}, 64, false, true, {20, 1, 3, 112, 100}, 11);
  check_heads(context, {1, 64, 8, 2}, 3, {40}, 32, false, true, {9, 31}, 12);
  check_heads(context, {1, 240, 4, 4}, 2, {12}, 120, false, true, {11, 1}, 14);
  check_heads(context, {2, 64, 2, 8}, 6, {300, 77}, 32, true, true, {290, 10}, 15);
  check_heads(context, {8, 128, 8, 2}, 32, {520, 33, 64}, 64, false, true, {500, 9, 11}, 16);
  context.arena->reset();
}

void bench_layer_steps(Context& context) {
  for (const int rows : {1, 64, 2048, 8192})
    for (const auto prologue : {pc::Prologue::none, pc::Prologue::rms_norm, pc::Prologue::swiglu})
      for (const int n1 : {64, 112})
        if (n1 == 64 || prologue != pc::Prologue::rms_norm)
          bench_prologue(context, n1, n1 == 64 ? 64 : 128, rows, prologue);
  context.arena->reset();
}

}  // namespace device
