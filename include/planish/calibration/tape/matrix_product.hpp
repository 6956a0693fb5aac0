#pragma once
// The product that the tape's operations are made of, in float and in float64.
#include <algorithm>

#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/kernels/cpu/float_product.hpp>
#include <planish/kernels/cpu/pack_float_panel.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// How the workers share a product: blocks of rows times batches of panels. The bits do not depend on the cuts, so
/// these may follow the number of workers.
struct ProductTasks {
  index row_blocks, batches;

  ProductTasks(index rows, index panels, index most_panels, int workers) noexcept {
    const auto blocks_of = [](index items, index most) { return (items + most - 1) / most; };
    const index wanted = workers == 1 ? 1 : 4 * static_cast<index>(workers);  // so that no worker waits long at the end
    row_blocks = std::max(blocks_of(rows, kernels::cpu::product_block_rows),
                          std::min(wanted, blocks_of(rows, kernels::cpu::product_block_rows / 2)));
    batches =
        std::max(blocks_of(panels, most_panels), std::min(panels, blocks_of(wanted, std::max<index>(row_blocks, 1))));
  }
  [[nodiscard]] int count() const noexcept { return static_cast<int>(row_blocks * batches); }
};

/// c (m × n) = a · bᵀ where c is fresh, else c += a · bᵀ; a: m × k, b: n × k, each with dense rows or dense columns.
/// Memory for packed operands is borrowed.
inline void multiply_into(Tape<float>& tape, MatrixView<const float> a, MatrixView<const float> b,
                          GradientTarget<float> c) {
  const ExecutorReference executor = tape.executor();
  const index panels = panel_count(b.rows()), panel_size = b.columns() * panel_width;
  auto packed = tape.borrow(panels * panel_size);
  executor.run(static_cast<int>(panels),
               [&](int panel, int) { kernels::cpu::pack_float_panel(b, panel, packed.data() + panel * panel_size); });
  constexpr index room = kernels::cpu::product_scratch_size;
  auto scratch = tape.borrow(executor.workers() * room);
  const kernels::cpu::FloatProduct product{a, {b.rows(), b.columns(), packed.data()}, c.at, !c.fresh};
  // Sums in a few panels stay near from chunk to chunk; rows that have to be copied first want more panels at once.
  const ProductTasks tasks(a.rows(), panels, a.has_dense_rows() ? 12 : 24, executor.workers());
  executor.run(tasks.count(), [&](int task, int worker) {
    kernels::cpu::multiply_float_block(product, part_of(a.rows(), task / tasks.batches, tasks.row_blocks),
                                       part_of(panels, task % tasks.batches, tasks.batches),
                                       {scratch.data() + worker * room, static_cast<std::size_t>(room)});
  });
}

/// The same in float64, for checks: sums over rising k, plainly written.
inline void multiply_into(Tape<double>& tape, MatrixView<const double> a, MatrixView<const double> b,
                          GradientTarget<double> c) {
  for_row_blocks(tape.executor(), a.rows(), 16, [&](index first, index count) {
    for (index i = first; i < first + count; ++i)
      accumulate(c.at.row(i), b.rows(), c.fresh, [&](index j) {
        double sum = 0.0;
        for (index k = 0; k < a.columns(); ++k) sum += a(i, k) * b(j, k);
        return sum;
      });
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
