#pragma once
#include <planish/calibration/tape/code_product.hpp>
#include <planish/calibration/tape/gradient_product.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// y = x wᵀ, what a linear layer with weights w (out × in) does. x: m × in, y: m × out. Where both are codes times
/// scales, y is to the bit what the integer kernels make of them. The gradients are dy w and dyᵀ x.
template <class T>
[[nodiscard]] Variable<T> multiply_transposed(Variable<T> x, Variable<T> w) {
  if (x.columns() != w.columns())
    Tape<T>::fail("a product of ", x.rows(), " x ", x.columns(), " and the transpose of ", w.rows(), " x ",
                  w.columns());
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value(), weights = w.value();
  auto [y, out] = tape.result(x.rows(), w.rows(), {x, w});
  if (!detail::multiply_codes_into(tape, x, w, out)) detail::multiply_into(tape, in, weights, {out, true});
  tape.on_backward(y, [&tape, x, w, in, weights](MatrixView<const T> dy) {
    if (x.needs_gradient())
      if (const auto dx = tape.gradient(x); !detail::multiply_by_codes_into(tape, dy, tape.codes_of(w), dx))
        detail::multiply_into(tape, dy, weights.transposed(), dx);
    if (w.needs_gradient())
      if (const auto dw = tape.gradient(w);
          !detail::multiply_by_codes_into(tape, dy.transposed(), tape.codes_of(x), dw))
        detail::multiply_into(tape, dy.transposed(), in.transposed(), dw);
  });
  return y;
}

/// y = x a. x: m × k, a: k × n. The gradients are dy aᵀ and xᵀ dy.
template <class T>
[[nodiscard]] Variable<T> multiply(Variable<T> x, Variable<T> a) {
  if (x.columns() != a.rows())
    Tape<T>::fail("a product of ", x.rows(), " x ", x.columns(), " and ", a.rows(), " x ", a.columns());
  Tape<T>& tape = x.tape();
  const MatrixView<const T> left = x.value(), right = a.value();
  auto [y, out] = tape.result(x.rows(), a.columns(), {x, a});
  detail::multiply_into(tape, left, right.transposed(), {out, true});
  tape.on_backward(y, [&tape, x, a, left, right](MatrixView<const T> dy) {
    if (x.needs_gradient()) detail::multiply_into(tape, dy, right, tape.gradient(x));
    if (a.needs_gradient()) detail::multiply_into(tape, left.transposed(), dy.transposed(), tape.gradient(a));
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
