#pragma once
#include <planish/calibration/tape/row_factor.hpp>
#include <planish/calibration/tape/row_range.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// Learnable weight clipping (OmniQuant, arXiv 2308.13137, §3.2): every row clamped to [lower · least, upper ·
/// greatest] element, 0 counted in. The factors are 1 × 1 or rows × 1 and not negative.
///
/// Elements within the bounds, the bounds included, pass their gradient; those beyond give theirs to the bound, which
/// leads on to the factor and to the least or greatest element (the first of equal ones).
template <class T>
[[nodiscard]] Variable<T> clamp_rows(Variable<T> w, Variable<T> upper, Variable<T> lower) {
  check_row_factor("an upper clamp factor", upper, w.rows());
  check_row_factor("a lower clamp factor", lower, w.rows());
  Tape<T>& tape = w.tape();
  const MatrixView<const T> in = w.value(), above = upper.value(), below = lower.value();
  const index rows = in.rows(), columns = in.columns(), block = rows_per_block(rows, columns);
  auto [y, result] = tape.result(rows, columns, {w, upper, lower});
  const MatrixView<T> ends = tape.scratch(rows, 2);  // greatest, least
  for_row_blocks(tape.executor(), rows, block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      const auto range = RowRange<T>::of(in.row(r), columns);
      ends(r, 0) = range.highest;
      ends(r, 1) = range.lowest;
      const Lanes<T> most(row_factor(above, r) * range.highest), least(row_factor(below, r) * range.lowest);
      for_lanes<T>(columns, [&](auto at) {
        const Lanes<T> x = load(in.row(r), at);
        store<T>(xsimd::select(x > most, most, xsimd::select(x < least, least, x)), out.row(r), at);
      });
    }
  });
  tape.on_backward(y, [=, &tape](MatrixView<const T> dy) {
    const auto dw = w.needs_gradient() ? tape.gradient(w) : GradientTarget<T>{};
    const MatrixView<T> shares = tape.scratch(rows, 2);
    for_row_blocks(tape.executor(), rows, block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r) {
        const T* const x = in.row(r);
        T* const to = dw.at.data() == nullptr ? nullptr : dw.at.row(r);
        const Lanes<T> most(row_factor(above, r) * ends(r, 0)), least(row_factor(below, r) * ends(r, 1)), zero(T{0});
        Lanes<T> beyond_most(T{0}), beyond_least(T{0});
        for_lanes<T>(columns, [&](auto at) {
          const Lanes<T> value = load(x, at), slope = load(dy.row(r), at);
          const auto is_above = value > most, is_below = value < least;
          beyond_most = beyond_most + xsimd::select(is_above, slope, zero);
          beyond_least = beyond_least + xsimd::select(is_below, slope, zero);
          if (to != nullptr) accumulate<T>(xsimd::select(is_above || is_below, zero, slope), to, at, dw.fresh);
        });
        const T gradients[] = {sum_of<T>(beyond_most), sum_of<T>(beyond_least)};
        const T factors[] = {row_factor(above, r), row_factor(below, r)};
        for (index end = 0; end < 2; ++end) {
          shares(r, end) = gradients[end] * ends(r, end);
          if (to != nullptr && ends(r, end) != T{0})
            if (const index at = first_equal(x, columns, ends(r, end)); at < columns)
              to[at] += gradients[end] * factors[end];
        }
      }
    });
    add_row_factor_gradient<T>(tape, upper, shares, 0);
    add_row_factor_gradient<T>(tape, lower, shares, 1);
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
