#pragma once
#include <type_traits>

#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/kernels/cpu/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// to = or += fromᵀ; rows of both dense.
template <class T>
void transpose_into(ExecutorReference executor, MatrixView<const T> from, GradientTarget<T> to) {
  constexpr index block = 64;  // rows of the result: whole cache lines of `from`
  for_row_blocks(executor, to.at.rows(), block, [&](index first, index count) {
    if constexpr (std::is_same_v<T, float>)
      if (to.fresh)
        return kernels::cpu::transpose(from.data() + first, from.row_stride(), from.rows(), count, to.at.row(first),
                                       to.at.row_stride());
    for (index r = first; r < first + count; ++r)
      accumulate(to.at.row(r), to.at.columns(), to.fresh, [&](index c) { return from(c, r); });
  });
}

}  // namespace detail

/// xᵀ.
template <class T>
[[nodiscard]] Variable<T> transpose(Variable<T> x) {
  Tape<T>& tape = x.tape();
  auto [y, out] = tape.result(x.columns(), x.rows(), {x});
  detail::transpose_into(tape.executor(), x.value(), GradientTarget<T>{out, true});
  tape.on_backward(
      y, [&tape, x](MatrixView<const T> dy) { detail::transpose_into(tape.executor(), dy, tape.gradient(x)); });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
