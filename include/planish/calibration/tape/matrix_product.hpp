#pragma once
// The product that the tape's operations are made of, in float and in float64.
#include <algorithm>

#include <planish/calibration/tape/double_product.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/kernels/cpu/learning_entry_points.hpp>
#include <planish/kernels/cpu/pack_float_panel.hpp>
#include <planish/kernels/cpu/split_product.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

inline constexpr index least_large_product = 1 << 20;  // multiply-adds; smaller ones gain nothing by other products

/// How the workers share a product: blocks of strips times batches of panels. The bits do not depend on the cuts, so
/// these may follow the number of workers.
struct ProductTasks {
  index blocks, batches;

  ProductTasks(index strips, index most_strips, index panels, int workers) noexcept {
    blocks = divide_up(strips, most_strips);
    constexpr index each = 12;  // so that no worker waits long at the end
    const index wanted = workers == 1 ? 1 : each * static_cast<index>(workers);
    batches = std::min(panels, (wanted + blocks - 1) / std::max<index>(blocks, 1));
  }
  [[nodiscard]] int count() const noexcept { return static_cast<int>(blocks * batches); }
};

#if defined(PLANISH_HAS_AMX_BF16)
/// c = or += a · b, the terms of a times their `factors` and split into pairs of bfloat16, where
/// multiply(terms, packed strips, adds, range of strips, range of panels, scratch) does the work of a chunk.
template <class Multiply>
void multiply_split(Tape<float>& tape, MatrixView<const float> a, const float* factors, GradientTarget<float> c,
                    Multiply&& multiply) {
  namespace cpu = kernels::cpu;
  const ExecutorReference executor = tape.executor();
  const index strips = divide_up(a.rows(), cpu::split_strip_rows);
  const index panels = panel_count(c.at.columns());
  constexpr index most_strips = 16, strips_together = 2;
  const ProductTasks tasks(strips, most_strips, panels, executor.workers());
  const index most_terms = std::min(a.columns(), cpu::split_chunk), room = cpu::split_packed_size(most_terms);
  auto packed = tape.borrow(strips * room);
  auto scratch = tape.borrow(executor.workers() * room);
  cpu::for_each_run(a.columns(), cpu::split_chunk, [&](Range terms) {
    const index count_of_terms = terms.end - terms.begin, size = cpu::split_packed_size(count_of_terms);
    const MatrixView<const float> chunk = a.middle_columns(terms.begin, count_of_terms);
    for_row_blocks(executor, strips, strips_together, [&](index first, index count) {
      for (index s = first; s < first + count; ++s)
        cpu::pack_split<true>(chunk, s * cpu::split_strip_rows, packed.data() + s * size,
                              factors == nullptr ? nullptr : factors + terms.begin);
    });
    executor.run(tasks.count(), [&](int task, int worker) {
      multiply(terms, packed.data(), !c.fresh || terms.begin > 0, part_of(strips, task / tasks.batches, tasks.blocks),
               part_of(panels, task % tasks.batches, tasks.batches),
               std::span<float>(scratch.data() + worker * room, static_cast<std::size_t>(room)));
    });
  });
}
#endif

/// c (m × n) = a · bᵀ where c is fresh, else c += a · bᵀ; a: m × k, b: n × k, each with dense rows or dense columns.
/// Memory for packed operands is borrowed.
PLANISH_LAZY void multiply_into(Tape<float>& tape, MatrixView<const float> a, MatrixView<const float> b,
                                GradientTarget<float> c) {
  namespace cpu = kernels::cpu;
  const ExecutorReference executor = tape.executor();
  if (a.columns() == 0 && c.fresh)
    for (index r = 0; r < c.at.rows(); ++r) std::fill_n(c.at.row(r), c.at.columns(), 0.0f);
#if defined(PLANISH_HAS_AMX_BF16)
  if (tape.products() == Products::split_bfloat16 && a.size() * b.rows() >= least_large_product)
    return multiply_split(
        tape, a, nullptr, c,
        [&](Range terms, const float* packed, bool adds, Range strips, Range panels, std::span<float> room) {
          cpu::multiply_split_block({packed, b.middle_columns(terms.begin, terms.end - terms.begin), c.at, adds},
                                    strips, panels, room);
        });
#endif
  const index strips = divide_up(a.rows(), cpu::product_strip_rows);
  const ProductTasks tasks(strips, cpu::product_block_strips, panel_count(b.rows()), executor.workers());
  constexpr index room = cpu::product_scratch_size, strips_together = 4;
  auto packed = tape.borrow(a.rows() * std::min(a.columns(), cpu::product_chunk));
  auto scratch = tape.borrow(executor.workers() * room);
  cpu::for_each_run(a.columns(), cpu::product_chunk, [&](Range terms) {
    const MatrixView<const float> chunk = a.middle_columns(terms.begin, terms.end - terms.begin);
    for_row_blocks(executor, strips, strips_together, [&](index first, index count) {
      cpu::pack_product_strips(chunk, {first, first + count}, packed.data());
    });
    const cpu::FloatProduct product{packed.data(), b.middle_columns(terms.begin, terms.end - terms.begin), c.at,
                                    !c.fresh || terms.begin > 0};
    executor.run(tasks.count(), [&](int task, int worker) {
      cpu::multiply_float_block(product, part_of(strips, task / tasks.batches, tasks.blocks),
                                part_of(panel_count(b.rows()), task % tasks.batches, tasks.batches),
                                {scratch.data() + worker * room, static_cast<std::size_t>(room)});
    });
  });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
