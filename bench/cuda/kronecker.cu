// Kronecker transforms with quantization: checks, and times.
#include <planish/kernels/cuda/kronecker_plan.cuh>
#include <planish/kernels/reference/kronecker_rows.hpp>

#include "../../tests/cuda/row_oracles.hpp"
#include "device.cuh"

namespace device {
namespace {

namespace pl = planish;
namespace pc = planish::kernels::cuda;
using pl::index;

pl::QuantizedRowsSpan take_rows(Arena& arena, pl::QuantizedRowsSpan like) {
  like.codes = arena.take<std::int8_t>(like.rows * like.stride);
  like.scales = arena.take<float>(like.rows);
  like.sums = arena.take<std::int32_t>(like.rows);
  if (like.zero_points != nullptr) like.zero_points = arena.take<std::int32_t>(like.rows);
  return like;
}

void fetch_rows(pl::QuantizedRowsSpan to, pl::QuantizedRowsSpan from) {
  oracles::bring(to, from, [](void* place, const void* source, std::size_t bytes) {
    require(cudaMemcpy(place, source, bytes, cudaMemcpyDeviceToHost), "download");
  });
}

void check_exact(Context& context, int n1, int n2, pc::CodeForm form, std::uint64_t seed) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const index rows = 9, n = index{n1} * n2;
  const oracles::Input input(oracles::awkward(rows, n, random), pc::ElementType::bfloat16);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  std::vector<float> y(static_cast<std::size_t>(rows * n)), scratch(static_cast<std::size_t>(8 * n));
  pl::kernels::reference::kronecker_rows<float>({input.values.data(), rows, n}, n1, n2, left.data(), right.data(),
                                                {y.data(), rows, n}, scratch);
  const pl::RowQuantizer q{.bits = 4, .clip = {0.9f, 0.95f}};
  const samples::Rows expected({y.data(), rows, n}, q), made(rows, n, false);
  auto plan =
      pc::plan_kronecker({static_cast<int>(rows), n1, n2, pc::ElementType::bfloat16, pc::ElementType::float32, form},
                         context.capabilities);
  require(plan.status());
  pc::ExactArguments a;
  a.x = arena.upload(input.halves);
  a.row_stride = n;
  a.factors = {n1, n2, arena.upload(left), arena.upload(right)};
  a.quantizer = q;
  a.out = take_rows(arena, made.span());
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(cudaStreamSynchronize(context.stream), "kronecker in float32");
  fetch_rows(made.span(), a.out);
  record_check("kronecker/exact/" + std::to_string(n1) + "x" + std::to_string(n2),
               oracles::differences(made.span(), expected.view(), form, true) == 0);
}

/// Codes within the bound of the rounding between the products, sums of codes exact, the same bits twice.
template <class E>
void check_units(Context& context, int n1, int n2, index rows, pc::ElementType input_type, pc::ElementType type,
                 pc::CodeForm form, pl::Symmetry symmetry, std::uint64_t seed, bool groups = true) {
  Arena& arena = *context.arena;
  arena.reset();
  pl::Random random(seed);
  const index n = index{n1} * n2;
  const oracles::Input input(samples::floats(rows * n, random), input_type);
  const auto left = samples::floats(index{n1} * n1, random), right = samples::floats(index{n2} * n2, random);
  const auto factors = pc::KroneckerFactors::make(n1, n2, left.data(), right.data(), type);
  require(factors.status());
  const index twins = std::min<index>(rows, 3);  // rows that are compared
  const auto expected = oracles::twin<E>(input.values, twins, n1, n2, left, right);
  const pl::RowQuantizer q{.bits = form == pc::CodeForm::nibbles ? 4 : 8, .symmetry = symmetry, .clip = {0.9f, 0.95f}};
  const samples::Rows made(rows, n, symmetry == pl::Symmetry::asymmetric),
      again(rows, n, symmetry == pl::Symmetry::asymmetric);
  auto plan = pc::plan_kronecker({static_cast<int>(rows), n1, n2, input_type, type, form, n % 8 == 0, groups},
                                 context.capabilities);
  require(plan.status());
  pc::KroneckerArguments a;
  a.x = arena.upload(static_cast<const char*>(input.data()), rows * n * pc::element_bytes(input_type));
  a.row_stride = n;
  a.factors = factors->view();
  a.factors.left = arena.upload(a.factors.left, a.factors.left_size());
  a.factors.right = arena.upload(a.factors.right, a.factors.right_size());
  if (a.factors.panels_size() > 0 && seed % 3 != 0)
    a.factors.panels = arena.upload(factors->panels(), a.factors.panels_size());
  a.quantizer = q;
  a.out = take_rows(arena, made.span());
  auto b = a;
  b.out = take_rows(arena, made.span());
  auto values = a;
  values.y = arena.take<std::uint16_t>(rows * n);
  values.y_stride = n;
  require(pc::prepare(*plan, a));
  require(pc::launch(*plan, a, context.stream));
  require(pc::launch(*plan, b, context.stream));
  require(pc::launch(*plan, values, context.stream));
  require(cudaStreamSynchronize(context.stream), "kronecker");
  fetch_rows(made.span(), a.out);
  fetch_rows(again.span(), b.out);
  const auto y = download(static_cast<const std::uint16_t*>(values.y), rows * n);

  index far = 0, wrong_codes = 0, wrong_sums = 0, unequal = 0;
  for (index r = 0; r < rows; ++r) {
    const std::int8_t *row = made.view().row(r), *other = again.view().row(r);
    const pl::Affine affine{made.view().scales[r], made.view().zero_point(r)};
    double largest = 0.0;
    if (r < twins)
      for (index c = 0; c < n; ++c)
        largest = std::max(largest, std::abs(expected[static_cast<std::size_t>(r * n + c)]));
    std::int32_t sum = 0;
    for (index c = 0; c < n; ++c) {
      const auto nibble = [&](const std::int8_t* from) {
        return (static_cast<std::uint8_t>(from[c / 2]) >> (c % 2 * 4) & 15) - 8;
      };
      const int code = form == pc::CodeForm::bytes ? row[c] : nibble(row);
      unequal += code != (form == pc::CodeForm::bytes ? other[c] : nibble(other));
      sum += code;
      // Every row, by the rounded values that the same kernel gives, and some by the twin.
      const auto at = static_cast<std::size_t>(r * n + c);
      const double lowest = q.bits == 8 ? -128 : -8, highest = q.bits == 8 ? 127 : 7;
      const double value = r < twins ? expected[at] : double{E{y[at]}.to_float()};
      const double steps = std::clamp(value / double{affine.scale} + affine.zero_point, lowest, highest);
      wrong_codes += !(std::abs(steps - code) <= (r < twins ? 0.55 : 0.5 + q.bits / 8.0));
      if (r < twins) far += !(std::abs(value - double{E{y[at]}.to_float()}) <= largest * 0x1p-7);
    }
    unequal += made.view().scales[r] != again.view().scales[r];
    wrong_sums += sum != made.view().sums[r];
  }
  const std::string name = "kronecker/" + std::string(pc::element_name(type)) + "/" + std::to_string(n1) + "x" +
                           std::to_string(n2) + "/m:" + std::to_string(rows);
  record_check(name + "/values", far == 0);
  record_check(name + "/codes", wrong_codes == 0);
  record_check(name + "/sums", wrong_sums == 0);
  record_check(name + "/again", unequal == 0);
  if (far + wrong_codes + wrong_sums + unequal > 0)
    std::printf("%s: %td values, %td codes, %td sums, %td unequal\n", name.c_str(), far, wrong_codes, wrong_sums,
                unequal);
}

double time_plan(Context& context, const pc::KroneckerPlan& plan, const std::vector<pc::KroneckerArguments>& sets,
                 int replays) {
  require(pc::prepare(plan, sets[0]));
  return time_graph(
      context, static_cast<int>(sets.size()),
      [&](int set) { require(pc::launch(plan, sets[static_cast<std::size_t>(set)], context.stream)); }, replays);
}

/// What is lost or won by fewer tokens at a time in a block.
void sweep_groups(Context& context, const pc::KroneckerPlan& plan, const std::vector<pc::KroneckerArguments>& sets) {
  for (int groups = 1; groups <= plan.sharing.groups; ++groups)
    for (const int stages : {2, 3}) {
      auto other = plan;
      other.sharing.groups = groups;
      other.sharing.stages = stages;
      other.launch.threads = groups * plan.sharing.group_threads;
      other.launch.shared_bytes = plan.group_path == pc::KroneckerGroupPath::none
                                      ? pc::kronecker_shared_bytes(plan.shape.n1, plan.shape.n2, groups, stages)
                                      : pc::detail::with_group_size<pl::BFloat16>(plan.group_path, [=](auto size) {
                                          return size.shared_bytes(groups, stages);
                                        });
      if (other.launch.shared_bytes > context.capabilities.shared_bytes) continue;
      for (const int blocks : {1, 2, 3}) {
        if (blocks * other.launch.shared_bytes > context.capabilities.shared_bytes) continue;
        other.launch.blocks = blocks * context.capabilities.multiprocessors;
        std::printf("    groups %d stages %d blocks per multiprocessor %d: %.2f us\n", groups, stages, blocks,
                    time_plan(context, other, sets, 5));
      }
    }
}

}  // namespace

void check_kronecker(Context& context) {
  using pc::CodeForm;
  using pc::ElementType;
  std::uint64_t seed = 1;
  const int sizes[][2] = {{1, 5}, {8, 8}, {7, 12}, {3, 33}, {64, 64}, {112, 128}, {128, 256}};
  for (const auto& [n1, n2] : sizes)
    for (const auto form : {CodeForm::bytes, CodeForm::nibbles}) check_exact(context, n1, n2, form, seed++);
  const auto symmetric = pl::Symmetry::symmetric, asymmetric = pl::Symmetry::asymmetric;
  const auto brain = ElementType::bfloat16, half = ElementType::half, single = ElementType::float32;
  for (const index rows : {1, 5, 700}) {
    check_units<pl::BFloat16>(context, 64, 64, rows, brain, brain, CodeForm::nibbles, symmetric, seed++);
    check_units<pl::BFloat16>(context, 64, 64, rows, brain, brain, CodeForm::nibbles, asymmetric, seed++, false);
    check_units<pl::Half>(context, 112, 128, rows, half, half, CodeForm::bytes, symmetric, seed++, false);
    check_units<pl::BFloat16>(context, 64, 80, rows, brain, brain, CodeForm::bytes, symmetric, seed++);
    check_units<pl::BFloat16>(context, 60, 40, rows, brain, brain, CodeForm::bytes, asymmetric, seed++);
    check_units<pl::Half>(context, 7, 12, rows, half, half, CodeForm::bytes, symmetric, seed++);
    check_units<pl::Half>(context, 64, 128, rows, half, half, CodeForm::nibbles, asymmetric, seed++);
    check_units<pl::BFloat16>(context, 33, 80, rows, brain, brain, CodeForm::nibbles, symmetric, seed++);
    check_units<pl::BFloat16>(context, 112, 128, rows, brain, brain, CodeForm::bytes, symmetric, seed++);
    check_units<pl::Half>(context, 128, 128, rows, half, half, CodeForm::nibbles, asymmetric, seed++);
    check_units<pl::BFloat16>(context, 50, 64, rows, brain, brain, CodeForm::bytes, asymmetric, seed++);
    check_units<pl::Half>(context, 86, 128, rows, single, half, CodeForm::bytes, symmetric, seed++);
    check_units<pl::BFloat16>(context, 100, 88, rows, brain, brain, CodeForm::bytes, symmetric, seed++);
    check_units<pl::BFloat16>(context, 128, 224, rows, brain, brain, CodeForm::nibbles, symmetric, seed++);
    check_units<pl::BFloat16>(context, 20, 250, rows, brain, brain, CodeForm::bytes, symmetric, seed++);
    check_units<pl::BFloat16>(context, 172, 64, rows, brain, brain, CodeForm::bytes, asymmetric, seed++);
    check_units<pl::BFloat16>(context, 144, 192, rows, brain, brain, CodeForm::nibbles, symmetric, seed++);
    check_units<pl::BFloat16>(context, 5, 9, rows, single, brain, CodeForm::bytes, symmetric, seed++);
  }
  context.arena->reset();
}

void bench_kronecker(Context& context) {
  const int sizes[][2] = {{64, 64}, {64, 80}, {64, 128}, {112, 128}, {128, 224}};
  for (const auto form : {pc::CodeForm::nibbles, pc::CodeForm::bytes})
    for (const auto& [n1, n2] : sizes)
      for (const int rows : {1, 16, 128, 2048, 8192}) {
        const int n = n1 * n2;
        const double bytes =
            static_cast<double>(rows) * (n * (form == pc::CodeForm::bytes ? 3.0 : 2.5) + 4) + 2.0 * (n1 * n1 + n2 * n2);
        const int count = sets_of(bytes);
        Arena& arena = *context.arena;
        arena.reset();
        std::vector<pc::KroneckerArguments> sets;
        for (int i = 0; i < count; ++i) {
          pc::KroneckerArguments a;
          auto* x = arena.take<std::uint16_t>(std::int64_t{rows} * n);
          fill(x, std::int64_t{rows} * n * 2, Fill::bfloat16, static_cast<std::uint64_t>(i));
          a.x = x;
          a.row_stride = n;
          a.factors = {n1, n2, pc::ElementType::bfloat16};
          auto* left = arena.take<std::uint16_t>(a.factors.left_size());
          auto* right = arena.take<std::uint16_t>(a.factors.right_size());
          fill(left, a.factors.left_size() * 2, Fill::bfloat16, 1000);
          fill(right, a.factors.right_size() * 2, Fill::bfloat16, 1001);
          auto* panels = arena.take<std::uint16_t>(a.factors.panels_size());
          fill(panels, a.factors.panels_size() * 2, Fill::bfloat16, 1002);
          a.factors.left = left;
          a.factors.right = right;
          a.factors.panels = panels;
          a.quantizer.bits = form == pc::CodeForm::bytes ? 8 : 4;
          a.out.rows = rows;
          a.out.columns = n;
          a.out.stride = form == pc::CodeForm::bytes ? pl::quantized_rows_stride(n) : n / 2;
          a.out.codes = arena.take<std::int8_t>(rows * a.out.stride);
          a.out.scales = arena.take<float>(rows);
          sets.push_back(a);
        }
        auto plan =
            pc::plan_kronecker({rows, n1, n2, pc::ElementType::bfloat16, pc::ElementType::bfloat16, form, true, true},
                               context.capabilities);
        require(plan.status());
        const double t = time_plan(context, *plan, sets, 15);
        char ratio[96];
        std::snprintf(ratio, sizeof ratio, "%.2f of copy; groups %d stages %d",
                      bytes / t * 1e6 / context.copy_bytes_per_second, plan->sharing.groups, plan->sharing.stages);
        const std::string name = std::string("kronecker/") + (form == pc::CodeForm::bytes ? "int8" : "int4") +
                                 "/m:" + std::to_string(rows) + "/n:" + std::to_string(n1) + "x" + std::to_string(n2);
        record(name, t, bytes, 2.0 * rows * n * (n1 + n2), ratio);
        if (rows <= 16) {
          pc::KroneckerShape early = plan->shape;
          early.early = true;  // begins while the one in front ends
          const auto begun = pc::plan_kronecker(early, context.capabilities);
          require(begun.status());
          record(name + "/early", time_plan(context, *begun, sets, 15), bytes, 2.0 * rows * n * (n1 + n2), "");
        }
        if (rows == 8192 && form == pc::CodeForm::nibbles) sweep_groups(context, *plan, sets);
      }
  context.arena->reset();
}

}  // namespace device
