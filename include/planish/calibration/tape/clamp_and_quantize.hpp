#pragma once
#include <planish/calibration/tape/clamp_rows.hpp>
#include <planish/calibration/tape/fake_quantize.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

/// A row that is clamped and then quantized with one scale, without a clamped copy.
template <class T>
class ClampedRow {
 public:
  /// What `save` writes.
  static constexpr index numbers = QuantizedRun<T>::numbers + 2;

  ClampedRow(const T* x, index count, RunClip<T> clamp, const FakeQuantizer& quantizer) noexcept
      : ClampedRow(x, count, clamp, RowRange<T>::of(x, count), quantizer) {}

  /// A row as it was saved.
  ClampedRow(const T* x, index count, RunClip<T> clamp, const T* from, const FakeQuantizer& quantizer) noexcept
      : x_(x),
        count_(count),
        clamp_(clamp),
        highest_(from[0]),
        lowest_(from[1]),
        run_(QuantizedRun<T>::saved(from + 2, quantizer)) {}
  void save(T* to) const noexcept {
    to[0] = highest_;
    to[1] = lowest_;
    run_.save(to + 2);
  }

  [[nodiscard]] T scale() const noexcept { return run_.scale(); }

  void quantize(T* y, std::int8_t* codes) const noexcept {
    const Lanes<T> upper(most()), lower(least());
    run_.quantize(count_, y, codes, [&](auto at) {
      const Lanes<T> x = load(x_, at);
      return xsimd::select(x > upper, upper, xsimd::select(x < lower, lower, x));
    });
  }

  /// Adds the gradient of the row to dx (unless null) and returns those of the clamp's factors.
  RunClip<T> differentiate(const T* dy, T* dx, bool fresh) const noexcept {
    const Lanes<T> upper(most()), lower(least()), zero(T{0});
    Lanes<T> above(T{0}), below(T{0});
    const T per_level = run_.differentiate(
        dy, count_,
        [&](auto at) {
          const Lanes<T> x = load(x_, at);
          return xsimd::select(x > upper, upper, xsimd::select(x < lower, lower, x));
        },
        [&](auto at, Lanes<T> gradient) {
          const Lanes<T> x = load(x_, at);
          const auto is_above = x > upper, is_below = x < lower;
          above = above + xsimd::select(is_above, gradient, zero);
          below = below + xsimd::select(is_below, gradient, zero);
          if (dx != nullptr) accumulate<T>(xsimd::select(is_above || is_below, zero, gradient), dx, at, fresh);
        });
    T to_most = sum_of<T>(above), to_least = sum_of<T>(below);
    // The scale's share belongs to the first element at an end of the clamped row.
    if (run_.follows_highest(whole)) {
      const index at = first_that(x_, count_, run_.highest(), [](auto x, auto end) { return x >= end; });
      give(at, at < count_ && x_[at] > most(), per_level, to_most, dx);
    }
    if (run_.follows_lowest(whole)) {
      const index at = first_that(x_, count_, run_.lowest(), [](auto x, auto end) { return x <= end; });
      give(at, at < count_ && x_[at] < least(), -per_level, to_least, dx);
    }
    pass_on(highest_, to_most * clamp_.positive, dx);
    pass_on(lowest_, to_least * clamp_.negative, dx);
    return {to_most * highest_, to_least * lowest_};
  }

 private:
  static constexpr RunClip<T> whole{T{1}, T{1}};

  ClampedRow(const T* x, index count, RunClip<T> clamp, RowRange<T> range, const FakeQuantizer& quantizer) noexcept
      : x_(x),
        count_(count),
        clamp_(clamp),
        highest_(range.highest),
        lowest_(range.lowest),
        run_(QuantizedRun<T>::of(
            RowRange<T>{std::max(range.lowest, least()), std::min(range.highest, most()), range.finite}, whole,
            quantizer)) {}

  [[nodiscard]] T most() const noexcept { return clamp_.positive * highest_; }
  [[nodiscard]] T least() const noexcept { return clamp_.negative * lowest_; }

  /// Gives a gradient to element `at`, or to the bound that stands for it.
  void give(index at, bool clamped, T gradient, T& bound, T* dx) const noexcept {
    if (clamped)
      bound += gradient;
    else if (at < count_ && dx != nullptr)
      dx[at] += gradient;
  }

  void pass_on(T end, T gradient, T* dx) const noexcept {
    if (dx == nullptr || end == T{0} || gradient == T{0}) return;
    if (const index at = first_equal(x_, count_, end); at < count_) dx[at] += gradient;
  }

  const T* x_;
  index count_;
  RunClip<T> clamp_;
  T highest_, lowest_;
  QuantizedRun<T> run_;
};

/// All rows of a matrix that are clamped and quantized, with what the way back needs of each, and their codes.
template <class T>
class ClampedRows {
 public:
  /// For `rows` rows of `columns` values. Throws where factors or quantizer do not fit.
  ClampedRows(Tape<T>& tape, Variable<T> upper, Variable<T> lower, index rows, index columns,
              const FakeQuantizer& quantizer)
      : upper_(upper),
        lower_(lower),
        columns_(columns),
        quantizer_(quantizer),
        above_(upper.value()),
        below_(lower.value()),
        found_(tape.scratch(rows, ClampedRow<T>::numbers)),
        codes_(tape, rows, columns, quantizer) {
    check_fake_quantizer<T>(quantizer);
    check_row_factor("an upper clamp factor", upper, rows);
    check_row_factor("a lower clamp factor", lower, rows);
  }

  /// Rows [first, first + count) of y from those of x.
  void quantize(MatrixView<const T> x, MatrixView<T> y, index first, index count) const noexcept {
    for (index r = first; r < first + count; ++r) {
      const ClampedRow<T> row(x.row(r), columns_, clamp(r), quantizer_);
      row.quantize(y.row(r), codes_.row(r));
      codes_.set_scale(r, row.scale());
      row.save(found_.row(r));
    }
    codes_.finish(first, count);
  }
  void give_codes_to(Variable<T> y) const { codes_.give_to(y); }

  /// Adds the gradient of row r to dx (unless null), and writes what its factors share to row r of `shares`, 2 wide.
  void differentiate(index r, const T* x, const T* dy, T* dx, bool fresh, MatrixView<T> shares) const noexcept {
    const ClampedRow<T> row(x, columns_, clamp(r), found_.row(r), quantizer_);
    const RunClip<T> share = row.differentiate(dy, dx, fresh);
    shares(r, 0) = share.positive;
    shares(r, 1) = share.negative;
  }
  void add_factor_gradients(Tape<T>& tape, MatrixView<const T> shares) const {
    add_row_factor_gradient<T>(tape, upper_, shares, 0);
    add_row_factor_gradient<T>(tape, lower_, shares, 1);
  }

 private:
  [[nodiscard]] RunClip<T> clamp(index r) const noexcept { return {row_factor(above_, r), row_factor(below_, r)}; }

  Variable<T> upper_, lower_;
  index columns_;
  FakeQuantizer quantizer_;
  MatrixView<const T> above_, below_;
  MatrixView<T> found_;
  RowCodes<T> codes_;
};

}  // namespace detail

/// fake_quantize_rows(clamp_rows(w, upper, lower), quantizer): the same codes, in one pass through memory where a row
/// has one scale.
template <class T>
[[nodiscard]] Variable<T> clamp_and_quantize_rows(Variable<T> w, Variable<T> upper, Variable<T> lower,
                                                  const FakeQuantizer& quantizer) {
  if (quantizer.group_size != 0) return fake_quantize_rows(clamp_rows(w, upper, lower), quantizer);
  Tape<T>& tape = w.tape();
  const MatrixView<const T> in = w.value();
  const index rows = in.rows(), columns = in.columns(), block = rows_per_block(rows, columns);
  const detail::ClampedRows<T> clamped(tape, upper, lower, rows, columns, quantizer);
  auto [y, result] = tape.result(rows, columns, {w, upper, lower});
  for_row_blocks(tape.executor(), rows, block,
                 [&, out = result](index first, index count) { clamped.quantize(in, out, first, count); });
  clamped.give_codes_to(y);
  tape.on_backward(y, [=, &tape](MatrixView<const T> dy) {
    const auto dw = w.needs_gradient() ? tape.gradient(w) : GradientTarget<T>{};
    const MatrixView<T> shares = tape.scratch(rows, 2);
    for_row_blocks(tape.executor(), rows, block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r)
        clamped.differentiate(r, in.row(r), dy.row(r), dw.at.data() == nullptr ? nullptr : dw.at.row(r), dw.fresh,
                              shares);
    });
    clamped.add_factor_gradients(tape, shares);
  });
  return y;
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
