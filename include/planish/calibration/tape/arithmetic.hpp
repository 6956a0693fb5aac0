#pragma once
#include <algorithm>
#include <cmath>

#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

template <class T>
void check_same_shape(const char* operation, Variable<T> a, Variable<T> b) {
  if (a.rows() != b.rows() || a.columns() != b.columns())
    Tape<T>::fail(operation, " of ", a.rows(), " x ", a.columns(), " and ", b.rows(), " x ", b.columns());
}

/// y = f(x) element by element; the slope is a function of x and y.
template <class T, class Function, class Slope>
[[nodiscard]] Variable<T> map(Variable<T> x, Function function, Slope slope) {
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  auto [y, result] = tape.result(x.rows(), x.columns(), {x});
  const index block = rows_per_block(in.rows(), in.columns());
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for (index c = 0; c < in.columns(); ++c) out(r, c) = function(in(r, c));
  });
  tape.on_backward(y, [&tape, x, in, out = result, block, slope](MatrixView<const T> dy) {
    const auto dx = tape.gradient(x);
    for_row_blocks(tape.executor(), in.rows(), block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r)
        accumulate(dx.at.row(r), in.columns(), dx.fresh,
                   [&](index c) { return dy(r, c) * slope(in(r, c), out(r, c)); });
    });
  });
  return y;
}

}  // namespace detail

/// x + y, of one shape.
template <class T>
[[nodiscard]] Variable<T> add(Variable<T> x, Variable<T> y) {
  detail::check_same_shape("a sum", x, y);
  Tape<T>& tape = x.tape();
  const MatrixView<const T> a = x.value(), b = y.value();
  auto [z, result] = tape.result(x.rows(), x.columns(), {x, y});
  const index block = rows_per_block(a.rows(), a.columns());
  for_row_blocks(tape.executor(), a.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for (index c = 0; c < a.columns(); ++c) out(r, c) = a(r, c) + b(r, c);
  });
  tape.on_backward(z, [&tape, x, y, block](MatrixView<const T> dz) {
    for (Variable<T> input : {x, y}) {
      if (!input.needs_gradient()) continue;
      const auto target = tape.gradient(input);
      for_row_blocks(tape.executor(), dz.rows(), block, [&](index first, index count) {
        for (index r = first; r < first + count; ++r)
          accumulate(target.at.row(r), dz.columns(), target.fresh, [&](index c) { return dz(r, c); });
      });
    }
  });
  return z;
}

/// x + b in every row: a bias. b is 1 × columns.
template <class T>
[[nodiscard]] Variable<T> add_to_rows(Variable<T> x, Variable<T> b) {
  if (b.rows() != 1 || b.columns() != x.columns())
    Tape<T>::fail("a bias of ", b.rows(), " x ", b.columns(), " for ", x.columns(), " columns");
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  const T* const bias = b.value().row(0);
  auto [y, result] = tape.result(x.rows(), x.columns(), {x, b});
  const index block = rows_per_block(in.rows(), in.columns());
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for (index j = 0; j < in.columns(); ++j) out(r, j) = in(r, j) + bias[j];
  });
  tape.on_backward(y, [&tape, x, b, block](MatrixView<const T> dy) {
    if (x.needs_gradient()) {
      const auto dx = tape.gradient(x);
      for_row_blocks(tape.executor(), dy.rows(), block, [&](index first, index count) {
        for (index r = first; r < first + count; ++r)
          accumulate(dx.at.row(r), dy.columns(), dx.fresh, [&](index j) { return dy(r, j); });
      });
    }
    if (b.needs_gradient())
      sum_row_blocks(tape, dy.rows(), block, tape.gradient(b), [&](index first, index count, MatrixView<T> partial) {
        for (index r = first; r < first + count; ++r)
          for (index j = 0; j < dy.columns(); ++j) partial(0, j) += dy(r, j);
      });
  });
  return y;
}

/// x ⊙ c: column j times c_j. c is 1 × columns.
template <class T>
[[nodiscard]] Variable<T> scale_columns(Variable<T> x, Variable<T> c) {
  if (c.rows() != 1 || c.columns() != x.columns())
    Tape<T>::fail("scaling ", x.columns(), " columns by ", c.rows(), " x ", c.columns(), " factors");
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  const T* const factors = c.value().row(0);
  auto [y, result] = tape.result(x.rows(), x.columns(), {x, c});
  const index block = rows_per_block(in.rows(), in.columns());
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for (index j = 0; j < in.columns(); ++j) out(r, j) = in(r, j) * factors[j];
  });
  tape.on_backward(y, [&tape, x, c, in, factors, block](MatrixView<const T> dy) {
    if (x.needs_gradient()) {
      const auto dx = tape.gradient(x);
      for_row_blocks(tape.executor(), in.rows(), block, [&](index first, index count) {
        for (index r = first; r < first + count; ++r)
          accumulate(dx.at.row(r), in.columns(), dx.fresh, [&](index j) { return dy(r, j) * factors[j]; });
      });
    }
    if (c.needs_gradient())
      sum_row_blocks(tape, in.rows(), block, tape.gradient(c), [&](index first, index count, MatrixView<T> partial) {
        for (index r = first; r < first + count; ++r)
          for (index j = 0; j < in.columns(); ++j) partial(0, j) += dy(r, j) * in(r, j);
      });
  });
  return y;
}

/// factor · x, of a constant factor.
template <class T>
[[nodiscard]] Variable<T> multiply_by(Variable<T> x, T factor) {
  return detail::map(
      x, [factor](T v) { return factor * v; }, [factor](T, T) { return factor; });
}

/// 1 / x.
template <class T>
[[nodiscard]] Variable<T> reciprocal(Variable<T> x) {
  return detail::map(
      x, [](T v) { return T{1} / v; }, [](T, T y) { return -y * y; });
}

/// eˣ: a positive scale from a free parameter.
template <class T>
[[nodiscard]] Variable<T> exponential(Variable<T> x) {
  return detail::map(
      x, [](T v) { return std::exp(v); }, [](T, T y) { return y; });
}

/// log(1 + eˣ): another positive scale, linear for large x.
template <class T>
[[nodiscard]] Variable<T> softplus(Variable<T> x) {
  return detail::map(
      x, [](T v) { return std::max(v, T{0}) + std::log1p(std::exp(-std::abs(v))); },
      [](T v, T) { return T{1} / (T{1} + std::exp(-v)); });
}

/// 1 / (1 + e⁻ˣ): a clip factor in (0, 1) from a logit.
template <class T>
[[nodiscard]] Variable<T> sigmoid(Variable<T> x) {
  return detail::map(
      x, [](T v) { return T{1} / (T{1} + std::exp(-v)); }, [](T, T y) { return y * (T{1} - y); });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
