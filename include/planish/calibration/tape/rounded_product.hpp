#pragma once
// Products of floats and codes, the floats rounded to 16 bits row by row (kernels/cpu/rounded_product.hpp).
#include <algorithm>

#include <planish/calibration/tape/matrix_product.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/kernels/cpu/learning_entry_points.hpp>
#include <planish/kernels/cpu/scratch.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// c = or += a · (the values of b), the rows of a times the scales of b rounded to 16 bits, up to 512 terms at a time.
PLANISH_LAZY void multiply_rounded(Tape<float>& tape, MatrixView<const float> a, QuantizedRowsView b,
                                   GradientTarget<float> c) {
  namespace cpu = kernels::cpu;
  const ExecutorReference executor = tape.executor();
  const index strips = divide_up(a.rows(), cpu::rounded_strip_rows);
  const index panels = panel_count(c.at.columns()), workers = executor.workers();
  const ProductTasks tasks(strips, cpu::rounded_block_strips, panels, executor.workers());
  const index most_pairs = cpu::rounded_pairs(std::min(a.columns(), cpu::rounded_chunk));
  constexpr index strips_together = 4;
  const std::size_t size = workspace_bytes<std::int32_t>(a.rows() * most_pairs) + workspace_bytes<float>(a.rows()) +
                           workspace_bytes<std::int32_t>(workers * cpu::rounded_scratch_size);
  auto bytes = tape.borrow_bytes(size);
  Workspace memory({bytes.data(), size});
  const auto packed = memory.take<std::int32_t>(a.rows() * most_pairs);
  const auto scales = memory.take<float>(a.rows());
  const auto scratch = memory.take<std::int32_t>(workers * cpu::rounded_scratch_size);
  cpu::for_each_run(a.columns(), cpu::rounded_chunk, [&](Range terms) {
    const index count_of_terms = terms.end - terms.begin, pairs = cpu::rounded_pairs(count_of_terms);
    const MatrixView<const float> chunk = a.middle_columns(terms.begin, count_of_terms);
    for_row_blocks(executor, strips, strips_together, [&](index first, index count) {
      for (index s = first; s < first + count; ++s)
        cpu::pack_rounded_strip(chunk, s, b.scales + terms.begin, packed.data() + s * cpu::rounded_strip_rows * pairs,
                                scales.data() + s * cpu::rounded_strip_rows);
    });
    const cpu::RoundedProduct product{packed.data(), scales.data(), b.middle_rows(terms.begin, count_of_terms), c.at,
                                      !c.fresh || terms.begin > 0};
    executor.run(tasks.count(), [&](int task, int worker) {
      cpu::multiply_rounded_block(product, part_of(strips, task / tasks.batches, tasks.blocks),
                                  part_of(panels, task % tasks.batches, tasks.batches),
                                  scratch.subspan(static_cast<std::size_t>(worker * cpu::rounded_scratch_size),
                                                  static_cast<std::size_t>(cpu::rounded_scratch_size)));
    });
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
