#pragma once
#include <cmath>
#include <type_traits>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

template <class T>
void check_norm_parameter(const char* name, Variable<T> parameter, Variable<T> x) {
  if (parameter.rows() != 1 || parameter.columns() != x.columns())
    Tape<T>::fail("the ", name, " of a norm of ", x.columns(), " columns is ", parameter.rows(), " x ",
                  parameter.columns());
}

/// Σ f(lanes) over the columns of a row.
template <class T, class Function>
[[nodiscard]] PLANISH_ALWAYS_INLINE T sum_lanes(index columns, Function&& f) noexcept {
  Lanes<T> sum(T{0});
  for_lanes<T>(columns, [&](auto at) { sum = f(at, sum); });
  return sum_of<T>(sum);
}

/// Σ (x − centre)²; the lanes behind the last column do not count.
template <class T>
[[nodiscard]] T sum_of_squares_around(T centre, const T* row, index columns) noexcept {
  T rest{};
  const T whole = sum_lanes<T>(columns, [&](auto at, Lanes<T> sum) {
    if constexpr (std::is_same_v<decltype(at), WholeLanes>) {
      const Lanes<T> distance = load(row, at) - Lanes<T>(centre);
      return multiply_add<T>(distance, distance, sum);
    } else {
      for (index c = at.first; c < columns; ++c) rest += (row[c] - centre) * (row[c] - centre);
      return sum;
    }
  });
  return whole + rest;
}

/// Adds Σ over rows of dy ⊙ normalised x to the gain's gradient, where normalised = (x − mean) · inverse deviation.
template <class T>
void add_gain_gradient(Tape<T>& tape, Variable<T> gain, MatrixView<const T> x, MatrixView<const T> dy,
                       MatrixView<const T> moments) {
  const index block = rows_per_block(x.rows(), x.columns());
  sum_row_blocks(tape, x.rows(), block, tape.gradient(gain), [&](index first, index count, MatrixView<T> partial) {
    for (index r = first; r < first + count; ++r) {
      const Lanes<T> mean(moments(r, 0)), inverse(moments(r, 1));
      for_lanes<T>(x.columns(), [&](auto at) {
        const Lanes<T> normalised = (load(x.row(r), at) - mean) * inverse;
        store<T>(multiply_add<T>(load(dy.row(r), at), normalised, load(partial.row(0), at)), partial.row(0), at);
      });
    }
  });
}

}  // namespace detail

/// Root-mean-square norm (arXiv 1910.07467): y = x / √(mean(x²) + epsilon) ⊙ gain, row by row. gain is 1 × columns.
template <class T>
[[nodiscard]] Variable<T> rms_norm(Variable<T> x, Variable<T> gain, T epsilon) {
  detail::check_norm_parameter("gain", gain, x);
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  const T* const factors = gain.value().row(0);
  const index columns = in.columns(), block = rows_per_block(in.rows(), columns);
  auto [y, result] = tape.result(in.rows(), columns, {x, gain});
  const MatrixView<T> moments = tape.scratch(in.rows(), 2);  // 0, inverse root mean square
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      const T* const row = in.row(r);
      const T squares = detail::sum_lanes<T>(
          columns, [&](auto at, Lanes<T> sum) { return multiply_add<T>(load(row, at), load(row, at), sum); });
      moments(r, 0) = T{0};
      moments(r, 1) = T{1} / std::sqrt(squares / static_cast<T>(columns) + epsilon);
      const Lanes<T> inverse(moments(r, 1));
      for_lanes<T>(columns, [&](auto at) { store<T>(load(row, at) * inverse * load(factors, at), out.row(r), at); });
    }
  });
  tape.on_backward(y, [&tape, x, gain, in, factors, columns, block, moments](MatrixView<const T> dy) {
    if (x.needs_gradient()) {
      const auto dx = tape.gradient(x);
      for_row_blocks(tape.executor(), in.rows(), block, [&](index first, index count) {
        for (index r = first; r < first + count; ++r) {
          const T *const row = in.row(r), *const slopes = dy.row(r), inverse = moments(r, 1);
          const T dot = detail::sum_lanes<T>(columns, [&](auto at, Lanes<T> sum) {
            return multiply_add<T>(load(slopes, at) * load(factors, at), load(row, at), sum);
          });
          // d(1/rms)/dx = − x / (columns · rms³)
          const Lanes<T> scale(inverse), pull(-dot * inverse * inverse * inverse / static_cast<T>(columns));
          for_lanes<T>(columns, [&](auto at) {
            const Lanes<T> direct = load(slopes, at) * load(factors, at) * scale;
            accumulate<T>(multiply_add<T>(load(row, at), pull, direct), dx.at.row(r), at, dx.fresh);
          });
        }
      });
    }
    if (gain.needs_gradient()) detail::add_gain_gradient<T>(tape, gain, in, dy, moments);
  });
  return y;
}

/// Layer norm (arXiv 1607.06450): y = (x − mean) / √(variance + epsilon) ⊙ gain + bias, row by row, the variance over
/// all columns. gain and bias are 1 × columns.
template <class T>
[[nodiscard]] Variable<T> layer_norm(Variable<T> x, Variable<T> gain, Variable<T> bias, T epsilon) {
  detail::check_norm_parameter("gain", gain, x);
  detail::check_norm_parameter("bias", bias, x);
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  const T *const factors = gain.value().row(0), *const offsets = bias.value().row(0);
  const index columns = in.columns(), block = rows_per_block(in.rows(), columns);
  auto [y, result] = tape.result(in.rows(), columns, {x, gain, bias});
  const MatrixView<T> moments = tape.scratch(in.rows(), 2);  // mean, inverse deviation
  for_row_blocks(tape.executor(), in.rows(), block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r) {
      const T* const row = in.row(r);
      const T n = static_cast<T>(columns);
      const T mean = detail::sum_lanes<T>(columns, [&](auto at, Lanes<T> sum) { return load(row, at) + sum; }) / n;
      const T squares = detail::sum_of_squares_around(mean, row, columns);
      moments(r, 0) = mean;
      moments(r, 1) = T{1} / std::sqrt(squares / n + epsilon);
      const Lanes<T> centre(mean), inverse(moments(r, 1));
      for_lanes<T>(columns, [&](auto at) {
        const Lanes<T> normalised = (load(row, at) - centre) * inverse;
        store<T>(multiply_add<T>(normalised, load(factors, at), load(offsets, at)), out.row(r), at);
      });
    }
  });
  tape.on_backward(y, [&tape, x, gain, bias, in, factors, columns, block, moments](MatrixView<const T> dy) {
    if (x.needs_gradient()) {
      const auto dx = tape.gradient(x);
      for_row_blocks(tape.executor(), in.rows(), block, [&](index first, index count) {
        for (index r = first; r < first + count; ++r) {
          const T *const row = in.row(r), *const slopes = dy.row(r), n = static_cast<T>(columns);
          const Lanes<T> centre(moments(r, 0)), inverse(moments(r, 1));
          const auto slope = [&](auto at) { return load(slopes, at) * load(factors, at); };
          const auto normalised = [&](auto at) { return (load(row, at) - centre) * inverse; };
          const T mean = detail::sum_lanes<T>(columns, [&](auto at, Lanes<T> sum) { return slope(at) + sum; }) / n;
          const T dot = detail::sum_lanes<T>(
              columns, [&](auto at, Lanes<T> sum) { return multiply_add<T>(slope(at), normalised(at), sum); });
          const Lanes<T> level(mean), pull(-dot / n);
          for_lanes<T>(columns, [&](auto at) {
            accumulate<T>(multiply_add<T>(normalised(at), pull, slope(at) - level) * inverse, dx.at.row(r), at,
                          dx.fresh);
          });
        }
      });
    }
    if (gain.needs_gradient()) detail::add_gain_gradient<T>(tape, gain, in, dy, moments);
    if (bias.needs_gradient())
      sum_row_blocks(tape, in.rows(), block, tape.gradient(bias), [&](index first, index count, MatrixView<T> partial) {
        for (index r = first; r < first + count; ++r)
          for_lanes<T>(columns,
                       [&](auto at) { store<T>(load(partial.row(0), at) + load(dy.row(r), at), partial.row(0), at); });
      });
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
