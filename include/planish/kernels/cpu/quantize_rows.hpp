#pragma once
// Rows of activations ↔ codes, a register at a time, equal to the reference to the bit.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
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
    for_each_vector(
        row, step, columns, [&](FloatBatch x) __attribute__((always_inline)) {
          lowest = xsimd::min(lowest, x);
          highest = xsimd::max(highest, x);
          greatest_bits = xsimd::max(greatest_bits, xsimd::bitwise_cast<IntBatch>(x) & magnitude_bits);
        });
    alignas(64) float low[FloatBatch::size], high[FloatBatch::size];
    alignas(64) std::int32_t bits[IntBatch::size];
    lowest.store_aligned(low);
    highest.store_aligned(high);
    greatest_bits.store_aligned(bits);
    RowRange range{{}, true};
    for (std::size_t i = 0; i < FloatBatch::size; ++i) {
      range.values.lowest = std::min(range.values.lowest, low[i]);
      range.values.highest = std::max(range.values.highest, high[i]);
      range.finite = range.finite && bits[i] < 0x7f800000;
    }
    return range;
  }
};

/// Quantizes each row of x into `out` (same shape; zero points present when q is asymmetric). A row with NaN or
/// infinity gets codes 0 and a NaN scale. Returns how many such rows there were.
inline index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
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
    const FloatBatch scale(affine.scale);
    const FloatBatch lowest(static_cast<float>(range.lowest - affine.zero_point));
    const FloatBatch highest(static_cast<float>(range.highest - affine.zero_point));
    IntBatch sums(0);
    index written = 0;
    for_each_vector(
        x.row(r), x.column_stride(), x.columns(), [&](FloatBatch values) __attribute__((always_inline)) {
          // the bounds are whole, so clamping before rounding gives the same code as after
          const FloatBatch steps = xsimd::max(xsimd::min(values / scale, highest), lowest);
          const IntBatch stored = xsimd::nearbyint_as_int(steps) + IntBatch(stored_zero);
          sums = sums + stored;
          isa::Best::store_codes(stored, codes + written);
          written += float_lanes;
        });
    alignas(64) std::int32_t lanes[IntBatch::size];
    sums.store_aligned(lanes);
    // lanes behind the last column hold the code of value 0, which is the zero point
    std::int32_t sum = -static_cast<std::int32_t>(written - x.columns()) * (x.columns() < written ? stored_zero : 0);
    for (std::int32_t lane : lanes) sum += lane;
    std::memset(codes + x.columns(), 0, static_cast<std::size_t>(out.stride - x.columns()));
    out.sums[r] = sum;
    if (out.zero_points != nullptr) out.zero_points[r] = stored_zero;
  }
  return bad_rows;
}

/// y = (code − zero point) · scale. After quantize_rows this is fake quantization.
inline void dequantize_rows(QuantizedRowsView x, MatrixView<float> y) noexcept {
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
