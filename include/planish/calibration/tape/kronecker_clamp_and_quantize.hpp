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
  if (quantizer.group_size != 0) Tape<T>::fail("rows that are quantized where they are made have one scale each");
  Tape<T>& tape = x.tape();
  const index rows = x.rows(), columns = x.columns();
  const detail::ClampedRows<T> clamped(tape, upper, lower, rows, columns, quantizer);
  detail::check_kronecker<T>(x, by.n1, by.n2, by.left, by.right, by.scale);
  auto [y, result] =
      tape.result(rows, columns, {x, by.left.value_or(x), by.right.value_or(x), by.scale.value_or(x), upper, lower});
  const detail::KroneckerRecord<T> record(x, by.n1, by.n2, by.left, by.right, by.scale);
  const MatrixView<T> transformed = tape.scratch(rows, columns);
  record.forward(transformed,
                 [&, out = result](index first, index count) { clamped.quantize(transformed, out, first, count); });
  clamped.give_codes_to(y);
  tape.on_backward(y, [=, &tape](MatrixView<const T> dy) {
    const MatrixView<T> shares = tape.scratch(rows, 2);
    record.backward(true, [&](index first, index count, T* room) {
      const MatrixView<T> slopes(room, count, columns);
      for (index r = first; r < first + count; ++r)
        clamped.differentiate(r, transformed.row(r), dy.row(r), slopes.row(r - first), true, shares);
      return MatrixView<const T>(slopes);
    });
    clamped.add_factor_gradients(tape, shares);
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
