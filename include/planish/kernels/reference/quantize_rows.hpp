#pragma once
// Rows of activations ↔ codes, one value at a time: the oracle for every other backend.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Quantizes each row of x into `out` (same shape; zero points present when q is asymmetric). A row with NaN or
/// infinity gets codes 0 and a NaN scale. Returns how many such rows there were.
inline index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  const CodeRange range = code_range(q.bits, q.symmetry);
  index bad_rows = 0;
  for (index r = 0; r < x.rows(); ++r) {
    ValueRange values;
    bool finite = true;
    for (index c = 0; c < x.columns(); ++c) {
      const float value = x(r, c);
      finite = finite && is_finite(value);
      if (value < values.lowest) values.lowest = value;
      if (value > values.highest) values.highest = value;
    }
    const Affine affine = finite ? q.affine(values) : not_finite_affine();
    const bool usable = is_finite(affine.scale);
    std::int32_t sum = 0;
    for (index c = 0; c < out.stride; ++c) {
      const int code = usable && c < x.columns() ? to_code(x(r, c), affine, range) - q.storage_offset() : 0;
      out.row(r)[c] = static_cast<std::int8_t>(code);
      sum += code;
    }
    out.scales[r] = affine.scale;
    out.sums[r] = sum;
    if (out.zero_points != nullptr) out.zero_points[r] = usable ? affine.zero_point - q.storage_offset() : 0;
    bad_rows += usable ? 0 : 1;
  }
  return bad_rows;
}

/// y = (code − zero point) · scale. After quantize_rows this is fake quantization.
inline void dequantize_rows(QuantizedRowsView x, MatrixView<float> y) noexcept {
  for (index r = 0; r < x.rows; ++r)
    for (index c = 0; c < x.columns; ++c) y(r, c) = to_value(x.row(r)[c], {x.scales[r], x.zero_point(r)});
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
