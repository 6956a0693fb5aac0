#pragma once
#include <optional>

#include <planish/calibration/tape/quantized_run.hpp>
#include <planish/calibration/tape/row_codes.hpp>
#include <planish/calibration/tape/row_factor.hpp>
#include <planish/core/divide_up.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

namespace detail {

template <class T>
void check_fake_quantizer(const FakeQuantizer& q) {
  if (!is_code_width(q.bits)) Tape<T>::fail("codes have 2 to 8 bits, not ", q.bits);
  if (q.group_size < 0) Tape<T>::fail("groups of ", q.group_size, " columns");
}

template <class T>
[[nodiscard]] Variable<T> fake_quantize(Variable<T> x, const FakeQuantizer& quantizer,
                                        std::optional<Variable<T>> positive, std::optional<Variable<T>> negative) {
  check_fake_quantizer<T>(quantizer);
  if (positive) check_row_factor("a clip", *positive, x.rows());
  if (negative) check_row_factor("a clip", *negative, x.rows());
  Tape<T>& tape = x.tape();
  const MatrixView<const T> in = x.value();
  const index rows = in.rows(), columns = in.columns(), block = rows_per_block(rows, columns);
  const index width = quantizer.group_size == 0 ? std::max<index>(columns, 1) : quantizer.group_size;
  const index groups = divide_up(columns, width);
  const auto clip = [=](index row) -> RunClip<T> {
    return {positive ? row_factor(positive->value(), row) : T{1}, negative ? row_factor(negative->value(), row) : T{1}};
  };
  auto [y, result] = tape.result(rows, columns, {x, positive.value_or(x), negative.value_or(x)});
  const MatrixView<T> found = tape.scratch(rows * groups, QuantizedRun<T>::numbers);
  const RowCodes<T> codes(tape, rows, columns, quantizer);
  for_row_blocks(tape.executor(), rows, block, [&, out = result](index first, index count) {
    for (index r = first; r < first + count; ++r)
      for (index g = 0; g < groups; ++g) {
        const index begin = g * width, length = std::min(width, columns - begin);
        const auto run = QuantizedRun<T>::of(in.row(r) + begin, length, clip(r), quantizer);
        run.quantize(in.row(r) + begin, length, out.row(r) + begin, codes.row(r));
        codes.set_scale(r, run.scale());
        run.save(found.row(r * groups + g));
      }
    codes.finish(first, count);
  });
  codes.give_to(y);
  tape.on_backward(y, [=, &tape](MatrixView<const T> dy) {
    const auto dx = x.needs_gradient() ? tape.gradient(x) : GradientTarget<T>{};
    const MatrixView<T> clip_shares = tape.scratch(rows, 2);
    for_row_blocks(tape.executor(), rows, block, [&](index first, index count) {
      for (index r = first; r < first + count; ++r) {
        RunClip<T> shares{T{0}, T{0}};
        for (index g = 0; g < groups; ++g) {
          const index begin = g * width, length = std::min(width, columns - begin);
          const auto run = QuantizedRun<T>::saved(found.row(r * groups + g), quantizer);
          const RunClip<T> share =
              run.differentiate(in.row(r) + begin, dy.row(r) + begin, length, clip(r),
                                dx.at.data() == nullptr ? nullptr : dx.at.row(r) + begin, dx.fresh);
          shares.positive += share.positive;
          shares.negative += share.negative;
        }
        clip_shares(r, 0) = shares.positive;
        clip_shares(r, 1) = shares.negative;
      }
    });
    if (positive) add_row_factor_gradient<T>(tape, *positive, clip_shares, 0);
    if (negative) add_row_factor_gradient<T>(tape, *negative, clip_shares, 1);
  });
  return y;
}

}  // namespace detail

/// Every row, or group of columns of a row, to codes and back: y = (code − z) · s, in float equal to the bit to what
/// the run-time quantizers compute. A run with NaN or infinity becomes NaN.
///
/// Gradients (FlatQuant, arXiv 2410.09426, §3 and its code): the rounding of x / s counts as the identity; the clamp
/// passes the gradient of codes within their range, both ends included, and none outside; s is not detached:
/// ∂y/∂s = code − z − x/s inside the range and code − z at a clamped end, and s leads on to the greatest and the least
/// element (the first of equal ones). The rounding of z passes nothing. A run of zeros gives its range no gradient.
template <class T>
[[nodiscard]] Variable<T> fake_quantize_rows(Variable<T> x, const FakeQuantizer& quantizer) {
  return detail::fake_quantize<T>(x, quantizer, std::nullopt, std::nullopt);
}

/// The same with learned factors on the greatest and the least element of every run before s is taken from them; each
/// is 1 × 1 or rows × 1, from 2⁻²⁰ to 16 to be of use at run time.
template <class T>
[[nodiscard]] Variable<T> fake_quantize_rows(Variable<T> x, const FakeQuantizer& quantizer, Variable<T> positive_clip,
                                             Variable<T> negative_clip) {
  return detail::fake_quantize<T>(x, quantizer, positive_clip, negative_clip);
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
