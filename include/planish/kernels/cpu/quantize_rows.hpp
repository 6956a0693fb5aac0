#pragma once
// Rows of activations ↔ codes, a register at a time, equal to the reference to the bit.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/quotient.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Calls `body(vector)` on the values of a row, in order; the last vector is filled up with zeros.
template <class Body>
PLANISH_ALWAYS_INLINE void for_each_vector(const float* row, index step, index columns, Body&& body) noexcept {
  index c = 0;
  if (step == 1)
    for (; c + float_lanes <= columns; c += float_lanes) body(FloatBatch::load_unaligned(row + c));
  while (c < columns) {
    alignas(64) float some[FloatBatch::size] = {};
    for (index i = 0; i < float_lanes && c < columns; ++i, ++c) some[i] = row[c * step];
    body(FloatBatch::load_aligned(some));
  }
}

/// Least and greatest value of a row with 0 counted in; `finite` tells whether every value is, by its exponent bits.
struct RowRange {
  ValueRange values;
  bool finite;

  static RowRange of(const float* row, index step, index columns) noexcept {
    const IntBatch magnitude_bits(0x7fffffff);
    FloatBatch lowest(0.0f), highest(0.0f);
    IntBatch greatest_bits(0);
    const auto see = [&](FloatBatch x) __attribute__((always_inline)) {
      lowest = xsimd::min(lowest, x);
      highest = xsimd::max(highest, x);
      greatest_bits = xsimd::max(greatest_bits, xsimd::bitwise_cast<IntBatch>(x) & magnitude_bits);
    };
    index c = 0;
    if (step == 1) {  // two at a time: a minimum takes longer than one takes to start
      FloatBatch other_lowest(0.0f), other_highest(0.0f);
      for (; c + 2 * float_lanes <= columns; c += 2 * float_lanes) {
        const FloatBatch x = FloatBatch::load_unaligned(row + c + float_lanes);
        see(FloatBatch::load_unaligned(row + c));
        other_lowest = xsimd::min(other_lowest, x);
        other_highest = xsimd::max(other_highest, x);
        greatest_bits = xsimd::max(greatest_bits, xsimd::bitwise_cast<IntBatch>(x) & magnitude_bits);
      }
      see(other_lowest);
      see(other_highest);
    }
    for_each_vector(row + c * step, step, columns - c, see);
    constexpr auto least = [](auto a, auto b) { return xsimd::min(a, b); };
    constexpr auto greatest = [](auto a, auto b) { return xsimd::max(a, b); };
    return {{fold_register(lowest, least), fold_register(highest, greatest)},
            fold_register(greatest_bits, greatest) < 0x7f800000};
  }
};

/// Where the codes of one row go, and between which bounds: whole steps from the zero point.
struct RowCodes {
  FloatBatch lowest, highest;
  std::int32_t stored_zero;
  std::int8_t* codes;

  /// Writes the codes, and up to a register of zero points behind the last one; returns the sum of the row's.
  template <bool ByReciprocal>
  [[nodiscard]] std::int32_t write(const float* row, index step, index columns,
                                   const Quotient& exact_quotient) const noexcept {
    // copies: codes are chars, which may be anything's bytes
    const Quotient quotient = exact_quotient;
    const FloatBatch least = lowest, most = highest;
    const IntBatch zero(stored_zero);
    std::int8_t* to = codes;
    for_each_vector(
        row, step, columns, [&](FloatBatch values) __attribute__((always_inline)) {
          // the bounds are whole, so clamping before rounding gives the same code as after
          const FloatBatch steps = xsimd::max(xsimd::min(quotient.of<ByReciprocal>(values), most), least);
          isa::Best::store_codes(xsimd::nearbyint_as_int(steps) + zero, to);
          to += float_lanes;
        });
    return isa::Best::sum_of_codes(codes, columns);
  }
};

/// Quantizes each row of x into `out` (same shape; zero points present when q is asymmetric). A row with NaN or
/// infinity gets codes 0 and a NaN scale. Returns how many such rows there were.
PLANISH_ENTRY index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  const CodeRange range = code_range(q.bits, q.symmetry);
  index bad_rows = 0;
  for (index r = 0; r < x.rows(); ++r) {
    const RowRange row = RowRange::of(x.row(r), x.column_stride(), x.columns());
    const Affine affine = row.finite ? q.affine(row.values) : not_finite_affine();
    std::int8_t* codes = out.row(r);
    out.scales[r] = affine.scale;
    if (!is_finite(affine.scale)) {
      std::memset(codes, 0, static_cast<std::size_t>(out.stride));
      out.sums[r] = 0;
      if (out.zero_points != nullptr) out.zero_points[r] = 0;
      ++bad_rows;
      continue;
    }
    const std::int32_t stored_zero = affine.zero_point - q.storage_offset();
    const RowCodes to{FloatBatch(static_cast<float>(range.lowest - affine.zero_point)),
                      FloatBatch(static_cast<float>(range.highest - affine.zero_point)), stored_zero, codes};
    const Quotient quotient(affine.scale);
    out.sums[r] = Quotient::by_reciprocal(affine.scale, row.values)
                      ? to.write<true>(x.row(r), x.column_stride(), x.columns(), quotient)
                      : to.write<false>(x.row(r), x.column_stride(), x.columns(), quotient);
    std::memset(codes + x.columns(), 0, static_cast<std::size_t>(out.stride - x.columns()));
    if (out.zero_points != nullptr) out.zero_points[r] = stored_zero;
  }
  return bad_rows;
}

/// y = (code − zero point) · scale. After quantize_rows this is fake quantization.
PLANISH_ENTRY void dequantize_rows(QuantizedRowsView x, MatrixView<float> y) noexcept {
  for (index r = 0; r < x.rows; ++r) {
    const Affine affine{x.scales[r], x.zero_point(r)};
    const std::int8_t* codes = x.row(r);
    index c = 0;
    if (y.has_dense_rows()) {
      float* to = y.row(r);
      for (; c + float_lanes <= x.columns; c += float_lanes) {
        alignas(64) std::int32_t lanes[IntBatch::size];
        for (index i = 0; i < float_lanes; ++i) lanes[i] = codes[c + i];
        const IntBatch steps = IntBatch::load_aligned(lanes) - IntBatch(affine.zero_point);
        (xsimd::to_float(steps) * FloatBatch(affine.scale)).store_unaligned(to + c);
      }
    }
    for (; c < x.columns; ++c) y(r, c) = to_value(codes[c], affine);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
