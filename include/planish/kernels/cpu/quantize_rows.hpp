#pragma once
// Rows of activations ↔ codes, a register at a time, equal to the reference to the bit.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/bracketed_codes.hpp>
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
/// Floats of one sign are ordered as their bits are: as signed integers the greatest is the greatest, as unsigned ones
/// it is the least, and NaN lies beyond infinity.
struct RowRange {
  ValueRange values;
  bool finite;

  static RowRange of(const float* row, index step, index columns) noexcept {
    BitsBatch lowest(negative), other_lowest(negative);
    IntBatch highest(0), other_highest(0);
    const auto see = [](FloatBatch x, BitsBatch & low, IntBatch & high) __attribute__((always_inline)) {
      low = xsimd::max(low, xsimd::bitwise_cast<BitsBatch>(x));
      high = xsimd::max(high, xsimd::bitwise_cast<IntBatch>(x));
    };
    for_each_pair(
        row, step, columns, [&](FloatBatch x, FloatBatch y) __attribute__((always_inline)) {
          see(x, lowest, highest);
          see(y, other_lowest, other_highest);
        });
    const std::uint32_t low = fold_register(xsimd::max(lowest, other_lowest), greatest);
    const std::int32_t high = fold_register(xsimd::max(highest, other_highest), greatest);
    return {{low == negative ? 0.0f : std::bit_cast<float>(low), std::bit_cast<float>(high)},
            low < (negative | infinite) && high < static_cast<std::int32_t>(infinite)};
  }

  /// The same range widened so that it is its own mirror image: all that a symmetric scale asks for, at half the work.
  static RowRange of_magnitudes(const float* row, index step, index columns) noexcept {
    const BitsBatch magnitude(~negative);
    BitsBatch most(0u), other_most(0u);
    for_each_pair(
        row, step, columns, [&](FloatBatch x, FloatBatch y) __attribute__((always_inline)) {
          most = xsimd::max(most, xsimd::bitwise_cast<BitsBatch>(x) & magnitude);
          other_most = xsimd::max(other_most, xsimd::bitwise_cast<BitsBatch>(y) & magnitude);
        });
    const std::uint32_t bits = fold_register(xsimd::max(most, other_most), greatest);
    const float value = std::bit_cast<float>(bits);
    return {{-value, value}, bits < infinite};
  }

 private:
  using BitsBatch = xsimd::batch<std::uint32_t>;
  static constexpr std::uint32_t negative = 0x80000000u, infinite = 0x7f800000u;
  static constexpr auto greatest = [](auto a, auto b) { return xsimd::max(a, b); };

  /// Two vectors at a time, to have independent maxima; zeros fill up the last ones.
  template <class Body>
  PLANISH_ALWAYS_INLINE static void for_each_pair(const float* row, index step, index columns,
                                                  const Body& body) noexcept {
    index c = 0;
    if (step == 1)
      for (; c + 2 * float_lanes <= columns; c += 2 * float_lanes)
        body(FloatBatch::load_unaligned(row + c), FloatBatch::load_unaligned(row + c + float_lanes));
    for_each_vector(
        row + c * step, step,
        columns - c, [&](FloatBatch x) __attribute__((always_inline)) { body(x, FloatBatch(0.0f)); });
  }
};

/// Where the codes of one row go, and between which bounds: whole steps from the zero point.
struct RowCodes {
  FloatBatch lowest, highest;
  std::int32_t stored_zero;
  std::int8_t* codes;

  /// Writes the codes of a dense row, a run at a time; what lies next to a half step, or behind the last block, is
  /// divided.
  void write_dense(const float* row, index columns, const BracketedCodes& bracketed,
                   const Quotient& quotient) const noexcept {
    for (index c = 0; c < columns;) {
      const index rest = std::min(columns - c, BracketedCodes::run), blocks = rest / BracketedCodes::block;
      const index count = blocks > 0 ? blocks * BracketedCodes::block : rest;
      if (blocks == 0 || !bracketed.write(row + c, count, codes + c))
        write<true>(row + c, 1, count, quotient, codes + c);
      c += count;
    }
  }

  /// Writes the codes, and up to a register of zero points behind the last one.
  template <bool ByReciprocal>
  void write(const float* row, index step, index columns, const Quotient& exact_quotient,
             std::int8_t* to) const noexcept {
    // copies: codes are chars, which may be anything's bytes
    const Quotient quotient = exact_quotient;
    const FloatBatch least = lowest, most = highest;
    const IntBatch zero(stored_zero);
    for_each_vector(
        row, step, columns, [&](FloatBatch values) __attribute__((always_inline)) {
          // the bounds are whole, so clamping before rounding gives the same code as after
          const FloatBatch steps = xsimd::max(xsimd::min(quotient.of<ByReciprocal>(values), most), least);
          isa::Best::store_codes(xsimd::nearbyint_as_int(steps) + zero, to);
          to += float_lanes;
        });
  }
};

/// Quantizes each row of x into `out` (same shape; zero points present when q is asymmetric). A row with NaN or
/// infinity gets codes 0 and a NaN scale. Returns how many such rows there were.
PLANISH_ENTRY index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  const CodeRange range = code_range(q.bits, q.symmetry);
  const bool by_magnitudes = q.symmetry == Symmetry::symmetric && q.clip.positive == q.clip.negative;
  const auto range_of = [&](index r) __attribute__((always_inline)) {
    return by_magnitudes ? RowRange::of_magnitudes(x.row(r), x.column_stride(), x.columns())
                         : RowRange::of(x.row(r), x.column_stride(), x.columns());
  };
  // A short row's range is sought while the divisions for the row before it wait.
  constexpr index short_row = 2048;
  const bool ahead = x.columns() <= short_row;
  index bad_rows = 0;
  RowRange next{};
  for (index r = 0; r < x.rows(); ++r) {
    const RowRange row = ahead && r > 0 ? next : range_of(r);
    const Affine affine = row.finite ? q.affine(row.values) : not_finite_affine();
    std::int8_t* codes = out.row(r);
    out.scales[r] = affine.scale;
    if (ahead && r + 1 < x.rows()) next = range_of(r + 1);
    if (!is_finite(affine.scale)) {
      std::memset(codes, 0, static_cast<std::size_t>(out.stride));
      out.sums[r] = 0;
      if (out.zero_points != nullptr) out.zero_points[r] = 0;
      ++bad_rows;
      continue;
    }
    const std::int32_t stored_zero = affine.zero_point - q.storage_offset();
    const float lowest = static_cast<float>(range.lowest - affine.zero_point),
                highest = static_cast<float>(range.highest - affine.zero_point);
    const RowCodes to{FloatBatch(lowest), FloatBatch(highest), stored_zero, codes};
    const Quotient quotient(affine.scale);
    if (!Quotient::by_reciprocal(affine.scale, row.values))
      to.write<false>(x.row(r), x.column_stride(), x.columns(), quotient, codes);
    else if (x.column_stride() == 1)
      to.write_dense(x.row(r), x.columns(), {affine.scale, row.values, lowest, highest, stored_zero}, quotient);
    else
      to.write<true>(x.row(r), x.column_stride(), x.columns(), quotient, codes);
    out.sums[r] = isa::Best::sum_of_codes(codes, x.columns());
    if (const index behind = out.stride - x.columns(); behind > 0)
      std::memset(codes + x.columns(), 0, static_cast<std::size_t>(behind));
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
