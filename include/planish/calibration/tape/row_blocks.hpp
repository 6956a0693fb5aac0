#pragma once
#include <algorithm>

#include <planish/calibration/tape/tape.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Rows of one task. Fixed by the shape alone, never by the number of workers, so that sums over rows have the same
/// order, and the same bits, on any number of threads.
[[nodiscard]] constexpr index rows_per_block(index rows, index columns) noexcept {
  constexpr index elements = 16 * 1024;  // some 10 us of elementwise work
  return std::clamp<index>(elements / std::max<index>(columns, 1), 1, std::max<index>(rows, 1));
}

/// work(first, count) over blocks of rows, spread over the workers. `work` must not throw.
template <class Work>
void for_row_blocks(ExecutorReference executor, index rows, index block, Work&& work) {
  const index blocks = divide_up(rows, block);
  executor.run(static_cast<int>(blocks), [&](int task, int) {
    const index first = task * block;
    work(first, std::min(block, rows - first));
  });
}

/// Adds Σ over blocks of what work(first, count, partial) leaves in `partial` (zeroed, of the target's shape) to the
/// target, in the order of the blocks.
template <class T, class Work>
void sum_row_blocks(Tape<T>& tape, index rows, index block, GradientTarget<T> target, Work&& work) {
  const index blocks = divide_up(rows, block), r = target.at.rows(), c = target.at.columns();
  const MatrixView<T> partials = tape.scratch(blocks, r * c);
  for_row_blocks(tape.executor(), rows, block, [&](index first, index count) {
    T* const partial = partials.row(first / block);
    std::fill_n(partial, r * c, T{});
    work(first, count, MatrixView<T>(partial, r, c));
  });
  for (index i = 0; i < r; ++i)
    for (index j = 0; j < c; ++j) {
      T sum{};
      for (index b = 0; b < blocks; ++b) sum += partials(b, i * c + j);
      target.at(i, j) = target.fresh ? sum : target.at(i, j) + sum;
    }
}

/// to[j] = value(j), or to[j] += value(j) where something was added before.
template <class T, class Value>
inline void accumulate(T* to, index count, bool fresh, Value&& value) {
  if (fresh)
    for (index j = 0; j < count; ++j) to[j] = value(j);
  else
    for (index j = 0; j < count; ++j) to[j] += value(j);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
