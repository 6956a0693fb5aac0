// Rows to codes: checks against the reference to the bit, and times.
#include <planish/kernels/cuda/quantize_rows.cuh>

#include "../../tests/cuda/row_oracles.hpp"
#include "device.cuh"

namespace device {
namespace {
namespace pl = planish;
namespace pc = planish::kernels::cuda;
using pl::index;
}  // namespace

void check_rows(Context& context) {
  std::uint64_t seed = 1;
  for (const auto type : {pc::ElementType::float32, pc::ElementType::bfloat16, pc::ElementType::half})
    for (const index columns : {1, 7, 64, 200, 1000, 4096, 4104, 14336, 28672, 70000})
      for (const auto symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
        for (const int bits : {3, 4, 8})
          for (const auto form : {pc::CodeForm::bytes, pc::CodeForm::nibbles}) {
            if (form == pc::CodeForm::nibbles && bits != 4) continue;
            Arena& arena = *context.arena;
            arena.reset();
            pl::Random random(seed++);
            const index rows = columns > 1000 ? 14 : 50;
            const oracles::Input input(oracles::awkward(rows, columns, random), type);
            pl::RowQuantizer q{.bits = bits, .symmetry = symmetry, .clip = {0.9f, 0.8f}};
            if (seed % 5 == 0) q.static_scale = 0.013f, q.static_zero_point = 3;
            const samples::Rows expected({input.values.data(), rows, columns}, q);
            samples::Rows made(rows, columns, symmetry == pl::Symmetry::asymmetric);
            const bool aligned = columns * pc::element_bytes(type) % 16 == 0;
            auto plan = pc::plan_quantize({static_cast<int>(rows), static_cast<int>(columns), type, form, aligned},
                                          context.capabilities);
            require(plan.status());
            pl::QuantizedRowsSpan out = made.span();
            out.codes = arena.take<std::int8_t>(rows * out.stride);
            out.scales = arena.take<float>(rows);
            out.sums = arena.take<std::int32_t>(rows);
            if (out.zero_points != nullptr) out.zero_points = arena.take<std::int32_t>(rows);
            auto* bad = arena.take<std::int32_t>(1);
            require(cudaMemset(bad, 0, 4), "memset");
            const void* x =
                arena.upload(static_cast<const char*>(input.data()), rows * columns * pc::element_bytes(type));
            const pc::QuantizeArguments a{x, columns, q, out, bad};
            require(pc::prepare(*plan, a));
            require(pc::launch(*plan, a, context.stream));
            require(cudaStreamSynchronize(context.stream), "quantize");
            oracles::bring(made.span(), out, [](void* to, const void* from, std::size_t bytes) {
              require(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "download");
            });
            const index wrong = oracles::differences(made.span(), expected.view(), form, true);
            record_check("quantize/" + std::string(pc::element_name(type)) + "/n:" + std::to_string(columns) +
                             "/bits:" + std::to_string(bits) + "/seed:" + std::to_string(seed),
                         wrong == 0 && download(bad, 1)[0] == oracles::bad_rows(expected.view()));
          }
  context.arena->reset();
}

void bench_rows(Context& context) {
  for (const auto form : {pc::CodeForm::bytes, pc::CodeForm::nibbles})
    for (const int columns : {4096, 8192, 14336, 28672})
      for (const int rows : {16, 8192}) {
        const double bytes = static_cast<double>(rows) * (columns * (form == pc::CodeForm::bytes ? 3.0 : 2.5) + 4);
        const int count = sets_of(bytes);
        Arena& arena = *context.arena;
        arena.reset();
        std::vector<pc::QuantizeArguments> sets;
        for (int i = 0; i < count; ++i) {
          auto* x = arena.take<std::uint16_t>(std::int64_t{rows} * columns);
          fill(x, std::int64_t{rows} * columns * 2, Fill::bfloat16, static_cast<std::uint64_t>(i));
          pc::QuantizeArguments a{x, columns, {.bits = form == pc::CodeForm::bytes ? 8 : 4}, {}};
          a.out.rows = rows;
          a.out.columns = columns;
          a.out.stride = form == pc::CodeForm::bytes ? pl::quantized_rows_stride(columns) : columns / 2;
          a.out.codes = arena.take<std::int8_t>(rows * a.out.stride);
          a.out.scales = arena.take<float>(rows);
          a.out.sums = arena.take<std::int32_t>(rows);
          sets.push_back(a);
        }
        auto plan = pc::plan_quantize({rows, columns, pc::ElementType::bfloat16, form}, context.capabilities);
        require(plan.status());
        require(pc::prepare(*plan, sets[0]));
        const double t = time_graph(context, count, [&](int set) {
          require(pc::launch(*plan, sets[static_cast<std::size_t>(set)], context.stream));
        });
        char ratio[64];
        std::snprintf(ratio, sizeof ratio, "%.2f of copy", bytes / t * 1e6 / context.copy_bytes_per_second);
        record(std::string("quantize/") + (form == pc::CodeForm::bytes ? "int8" : "int4") +
                   "/m:" + std::to_string(rows) + "/n:" + std::to_string(columns),
               t, bytes, 0.0, ratio);
      }
  context.arena->reset();
}

}  // namespace device
