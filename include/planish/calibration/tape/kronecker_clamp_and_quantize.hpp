#pragma once
#include <planish/calibration/tape/clamp_and_quantize.hpp>
#include <planish/calibration/tape/kronecker.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// The factors and the scale of `kronecker`, each of which may be missing.
template <class T>
struct KroneckerVariables {
  index n1 = 1, n2 = 1;  ///< orders of the factors
  std::optional<Variable<T>> left{}, right{}, scale{};
};

/// clamp_and_quantize_rows(kronecker(x, left, right, scale), upper, lower, quantizer), what a linear layer's weights
/// meet: the same numbers in fewer passes through memory, because rows are quantized, and their gradients
/// differentiated, where they were made. One scale per row.
template <class T>
[[nodiscard]] Variable<T> kronecker_clamp_and_quantize(Variable<T> x, const KroneckerVariables<T>& by,
                                                       Variable<T> upper, Variable<T> lower,
                                                       const FakeQuantizer& quantizer) {
  detail::check_fake_quantizer<T>(quantizer);
  if (quantizer.group_size != 0) Tape<T>::fail("rows that are quantized where they are made have one scale each");
  check_row_factor("an upper clamp factor", upper, x.rows());
  check_row_factor("a lower clamp factor", lower, x.rows());
  detail::check_kronecker<T>(x, by.n1, by.n2, by.left, by.right, by.scale);
  Tape<T>& tape = x.tape();
  const index rows = x.rows(), columns = x.columns();
  const MatrixView<const T> above = upper.value(), below = lower.value();
  auto [y, result] =
      tape.result(rows, columns, {x, by.left.value_or(x), by.right.value_or(x), by.scale.value_or(x), upper, lower});
  const detail::KroneckerRecord<T> record(x, by.n1, by.n2, by.left, by.right, by.scale);
  const MatrixView<T> transformed = tape.scratch(rows, columns);
  const MatrixView<T> found = tape.scratch(rows, detail::ClampedRow<T>::numbers);
  const auto clamp = [=](index r) -> RunClip<T> { return {row_factor(above, r), row_factor(below, r)}; };
  const detail::RowCodes<T> codes(tape, rows, columns, quantizer);
  record.forward(transformed, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      const detail::ClampedRow<T> row(transformed.row(r), columns, clamp(r), quantizer);
      row.quantize(out.row(r), codes.row(r));
      codes.set_scale(r, row.scale());
      row.save(found.row(r));
    }
    codes.finish(first, count);
  });
  codes.give_to(y);
  tape.on_backward(y, [=, &tape](MatrixView<const T> dy) {
    const MatrixView<T> shares = tape.scratch(rows, 2);
    record.backward(true, [&](index first, index count, T* room) {
      const MatrixView<T> slopes(room, count, columns);
      for (index r = first; r < first + count; ++r) {
        const detail::ClampedRow<T> row(transformed.row(r), columns, clamp(r), found.row(r), quantizer);
        const RunClip<T> share = row.differentiate(dy.row(r), slopes.row(r - first), true);
        shares(r, 0) = share.positive;
        shares(r, 1) = share.negative;
      }
      return MatrixView<const T>(slopes);
    });
    add_row_factor_gradient<T>(tape, upper, shares, 0);
    add_row_factor_gradient<T>(tape, lower, shares, 1);
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
