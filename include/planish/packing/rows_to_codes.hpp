#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI {

/// Rows on their way through a transform to codes, in one go: each is quantized while it is still near.
struct RowsToCodes {
  MatrixView<const float> x;  // rows × n, dense rows
  index rows_behind = 0;      // that lie in memory behind x at the same distances and will be read next
  RowQuantizer quantizer{};
  QuantizedRowsSpan out{};     // rows × n
  MatrixView<float> room{};    // rows × n, for transformed rows; what it holds afterwards is open
  std::span<float> scratch{};  // the transform's

  /// Row r of x or behind it, null where there is none: what may be asked for ahead.
  [[nodiscard]] const float* row_or_null(index r) const noexcept {
    return r < x.rows() + rows_behind ? x.data() + r * x.row_stride() : nullptr;
  }
};

}  // namespace planish::inline PLANISH_ABI
