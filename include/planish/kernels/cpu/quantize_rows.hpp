#pragma once
// Rows of activations ↔ codes, a register at a time, equal to the reference to the bit.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/bracketed_codes.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/quotient.hpp>
#include <planish/kernels/cpu/row_range.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// A row on its way to codes: `RowOnItsWay` finds its scale, `write` writes the codes. Between the two is a chain of
/// divisions, for which other work need not wait.
class RowOnItsWay {
 public:
  RowOnItsWay() = default;
  PLANISH_LAZY RowOnItsWay(const float* row, index step, index columns, const RowQuantizer& q) noexcept
      : row_(row), step_(step), columns_(columns), offset_(q.storage_offset()) {
    const bool by_magnitudes = q.symmetry == Symmetry::symmetric && q.clip.positive == q.clip.negative;
    const RowRange seen =
        by_magnitudes ? RowRange::of_magnitudes(row, step, columns) : RowRange::of(row, step, columns);
    affine_ = seen.finite ? q.affine(seen.values) : not_finite_affine();
    by_reciprocal_ = seen.finite && Quotient::by_reciprocal(affine_.scale, seen.values);
    const CodeRange range = code_range(q.bits, q.symmetry);
    lowest_ = static_cast<float>(range.lowest - affine_.zero_point);
    highest_ = static_cast<float>(range.highest - affine_.zero_point);
    if (by_reciprocal_) bracketed_.set(0, affine_.scale, seen.values, lowest_, highest_, stored_zero());
  }

  /// Codes, scale, sum and zero point to row r; false if the row held NaN or infinity.
  PLANISH_LAZY [[nodiscard]] bool write(QuantizedRowsSpan out, index r) const noexcept {
    const bool finite = is_finite(affine_.scale);
    std::int8_t* const codes = out.row(r);
    out.scales[r] = affine_.scale;
    if (!finite)
      out.sums[r] = 0;
    else if (by_reciprocal_ && step_ == 1)
      out.sums[r] = write_dense(codes);
    else
      out.sums[r] = by_reciprocal_ ? divide<true>(0, columns_, codes) : divide<false>(0, columns_, codes);
    const index written = finite ? columns_ : 0;
    if (written < out.stride) std::memset(codes + written, 0, static_cast<std::size_t>(out.stride - written));
    if (out.zero_points != nullptr) out.zero_points[r] = finite ? stored_zero() : 0;
    return finite;
  }

 private:
  [[nodiscard]] std::int32_t stored_zero() const noexcept { return affine_.zero_point - offset_; }

  /// A run at a time; what lies next to a half step, or behind the last block, is divided. Returns the sum of the
  /// codes.
  PLANISH_LAZY [[nodiscard]] std::int32_t write_dense(std::int8_t* codes) const noexcept {
    CodeSums sums;
    std::int32_t divided = 0;
    for (index c = 0; c < columns_;) {
      const index rest = std::min(columns_ - c, BracketedCodes<>::run), blocks = rest / BracketedCodes<>::block;
      const index count = blocks > 0 ? blocks * BracketedCodes<>::block : rest;
      CodeSums with_these = sums;
      std::int8_t* to = codes + c;
      const auto store = [&](IntBatch x, IntBatch y, IntBatch z, IntBatch w) __attribute__((always_inline)) {
        store_four_vectors_of_codes(x, y, z, w, to, with_these);
        to += BracketedCodes<>::block;
      };
      if (blocks > 0 && bracketed_.write(row_ + c, count, store))
        sums = with_these;
      else
        divided += divide<true>(c, count, codes + c);
      c += count;
    }
    if constexpr (adds_up_codes)
      return sums.all() + divided;
    else
      return isa::Best::sum_of_codes(codes, columns_);
  }

  /// Writes `count` codes, and up to a register of zero points behind the last one; returns their sum.
  template <bool ByReciprocal>
  [[nodiscard]] std::int32_t divide(index first, index count, std::int8_t* codes) const noexcept {
    // copies: codes are chars, which may be anything's bytes
    const Quotient quotient(affine_.scale);
    const FloatBatch least(lowest_), most(highest_);
    const IntBatch zero(stored_zero());
    std::int8_t* to = codes;
    for_each_vector(
        row_ + first * step_, step_, count, [&](FloatBatch values) __attribute__((always_inline)) {
          // the bounds are whole, so clamping before rounding gives the same code as after
          const FloatBatch steps = xsimd::max(xsimd::min(quotient.of<ByReciprocal>(values), most), least);
          isa::Best::store_codes(xsimd::nearbyint_as_int(steps) + zero, to);
          to += float_lanes;
        });
    return isa::Best::sum_of_codes(codes, count);
  }

  const float* row_ = nullptr;
  index step_ = 1, columns_ = 0;
  int offset_ = 0;
  Affine affine_{};
  float lowest_ = 0.0f, highest_ = 0.0f;  // whole steps from the zero point
  bool by_reciprocal_ = false;
  BracketedCodes<> bracketed_;
};

/// Quantizes each row of x into `out` (same shape; zero points present when q is asymmetric). A row with NaN or
/// infinity gets codes 0 and a NaN scale. Returns how many such rows there were.
PLANISH_ENTRY index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  const auto begin = [&](index r) { return RowOnItsWay(x.row(r), x.column_stride(), x.columns(), q); };
  constexpr index short_row = 2048;  // two of them stay in the first-level cache
  const bool ahead = x.columns() <= short_row;
  index bad_rows = 0;
  RowOnItsWay row;
  for (index r = 0; r < x.rows(); ++r) {
    if (r == 0 || !ahead) row = begin(r);
    const RowOnItsWay next = ahead && r + 1 < x.rows() ? begin(r + 1) : RowOnItsWay();
    bad_rows += row.write(out, r) ? 0 : 1;
    row = next;
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
