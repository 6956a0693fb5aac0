#pragma once
#include <cmath>
#include <type_traits>
#include <vector>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// Mean over all elements of term(y − target), added up in double in a fixed order.
template <class T, class Term>
[[nodiscard]] double mean_of_errors(Tape<T>& tape, MatrixView<const T> y, MatrixView<const T> target, Term&& term) {
  constexpr index chains = 16;  // independent sums, which fill vector registers
  const index columns = y.columns(), block = rows_per_block(y.rows(), columns);
  std::vector<double> sums(static_cast<std::size_t>(divide_up(y.rows(), block)));
  for_row_blocks(tape.executor(), y.rows(), block, [&](index first, index count) {
    double chain[chains] = {};
    for (index r = first; r < first + count; ++r) {
      const T *const a = y.row(r), *const b = target.row(r);
      index c = 0;
      for (; c + chains <= columns; c += chains)
        for (index i = 0; i < chains; ++i)
          chain[i] += term(static_cast<double>(a[c + i]) - static_cast<double>(b[c + i]));
      for (; c < columns; ++c) chain[0] += term(static_cast<double>(a[c]) - static_cast<double>(b[c]));
    }
    double& sum = sums[static_cast<std::size_t>(first / block)];
    for (double s : chain) sum += s;
  });
  double total = 0.0;
  for (double sum : sums) total += sum;
  return total / static_cast<double>(y.size());
}

/// A loss of this value whose gradient is slope(y − target) / elements.
template <class T, class Slope>
[[nodiscard]] Variable<T> loss_of_errors(Variable<T> y, MatrixView<const T> target, double value, Slope slope) {
  Tape<T>& tape = y.tape();
  auto [loss, out] = tape.result(1, 1, {y});
  out(0, 0) = static_cast<T>(value);
  tape.on_backward(loss, [&tape, y, target, slope](MatrixView<const T> gradient) {
    const auto dy = tape.gradient(y);
    const MatrixView<const T> in = y.value();
    const Lanes<T> share(gradient(0, 0) / static_cast<T>(in.size()));
    for_row_blocks(tape.executor(), in.rows(), rows_per_block(in.rows(), in.columns()), [&](index first, index count) {
      for (index r = first; r < first + count; ++r)
        for_lanes<T>(in.columns(), [&](auto at) {
          accumulate<T>(slope(load(in.row(r), at) - load(target.row(r), at)) * share, dy.at.row(r), at, dy.fresh);
        });
    });
  });
  return loss;
}

template <class T>
void check_target(Variable<T> y, MatrixView<const T> target) {
  if (y.rows() != target.rows() || y.columns() != target.columns())
    Tape<T>::fail("a loss of ", y.rows(), " x ", y.columns(), " against ", target.rows(), " x ", target.columns());
  if (target.empty()) Tape<T>::fail("a loss over no elements");
  if (!target.has_dense_rows()) Tape<T>::fail("the rows of a target must be contiguous");
}

/// A matrix that nothing is deduced from: any view of numbers converts.
template <class T>
using Target = std::type_identity_t<MatrixView<const T>>;

}  // namespace detail

/// mean((y − target)²). The target stays the caller's and must outlive the record, here and below.
template <class T>
[[nodiscard]] Variable<T> mean_squared_error(Variable<T> y, detail::Target<T> target) {
  detail::check_target<T>(y, target);
  const double value = detail::mean_of_errors<T>(y.tape(), y.value(), target, [](double e) { return e * e; });
  return detail::loss_of_errors<T>(y, target, value, [](Lanes<T> e) { return e + e; });
}

/// mean |y − target|; an error of 0 has slope 0.
template <class T>
[[nodiscard]] Variable<T> mean_absolute_error(Variable<T> y, detail::Target<T> target) {
  detail::check_target<T>(y, target);
  const double value = detail::mean_of_errors<T>(y.tape(), y.value(), target, [](double e) { return std::fabs(e); });
  return detail::loss_of_errors<T>(y, target, value, [](Lanes<T> e) {
    const Lanes<T> zero(T{0}), one(T{1});
    return xsimd::select(e > zero, one, xsimd::select(e < zero, -one, zero));
  });
}

/// Mean of e²/2 for |e| ≤ δ and δ (|e| − δ/2) beyond, e = y − target (Huber, Ann. Math. Statist. 35, 1964), with δ =
/// factor · mean |e|, which is not differentiated: δ follows the errors as they shrink.
template <class T>
[[nodiscard]] Variable<T> huber(Variable<T> y, detail::Target<T> target, double factor = 3.0) {
  detail::check_target<T>(y, target);
  if (!(factor > 0.0)) Tape<T>::fail("the Huber threshold is a positive multiple of the mean absolute error");
  const double delta =
      factor * detail::mean_of_errors<T>(y.tape(), y.value(), target, [](double e) { return std::fabs(e); });
  const double value = detail::mean_of_errors<T>(y.tape(), y.value(), target, [delta](double e) {
    const double magnitude = std::fabs(e), near = magnitude < delta ? magnitude : delta;
    return near * (magnitude - 0.5 * near);
  });
  return detail::loss_of_errors<T>(y, target, value, [delta](Lanes<T> e) {
    const Lanes<T> most(static_cast<T>(delta));
    return xsimd::min(xsimd::max(e, -most), most);
  });
}

/// loss / (its own value, not differentiated): 1, with the gradient of log(loss), so that a step does not depend on how
/// large the loss of a block is (FlatQuant's training). A loss of 0 passes no gradient.
template <class T>
[[nodiscard]] Variable<T> normalised(Variable<T> loss) {
  if (loss.value().size() != 1) Tape<T>::fail("a loss is a number, not ", loss.rows(), " x ", loss.columns());
  Tape<T>& tape = loss.tape();
  const T value = loss.value()(0, 0);
  const T inverse = value == T{0} ? T{0} : T{1} / value;
  auto [y, out] = tape.result(1, 1, {loss});
  out(0, 0) = value * inverse;
  tape.on_backward(y, [&tape, loss, inverse](MatrixView<const T> dy) {
    const auto target = tape.gradient(loss);
    accumulate(target.at.row(0), 1, target.fresh, [&](index) { return dy(0, 0) * inverse; });
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
