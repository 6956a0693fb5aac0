#pragma once
#include <cstddef>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/aligned_buffer.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/workspace.hpp>

namespace planish::inline PLANISH_ABI {

/// Quantized activations as the integer kernels read them: int8 rows with one scale each. Asymmetric codes are stored
/// as code − 2^(b−1), their zero points likewise. A row that held NaN or infinity has codes 0 and a NaN scale.
struct QuantizedRowsView {
  const std::int8_t* codes = nullptr;  // row r starts at codes + r · stride; the bytes behind `columns` are 0
  index rows = 0;
  index columns = 0;
  index stride = 0;                           // bytes, a multiple of 64
  const float* scales = nullptr;              // rows
  const std::int32_t* sums = nullptr;         // rows: sum of the stored codes
  const std::int32_t* zero_points = nullptr;  // rows, or null when symmetric

  [[nodiscard]] PLANISH_HOST_DEVICE const std::int8_t* row(index r) const noexcept { return codes + r * stride; }
  [[nodiscard]] PLANISH_HOST_DEVICE std::int32_t zero_point(index r) const noexcept {
    return zero_points == nullptr ? 0 : zero_points[r];
  }

  /// Rows [first, first + count).
  [[nodiscard]] QuantizedRowsView middle_rows(index first, index count) const noexcept {
    return {codes + first * stride,
            count,
            columns,
            stride,
            scales + first,
            sums + first,
            zero_points == nullptr ? nullptr : zero_points + first};
  }
};

/// The same rows while they are being written.
struct QuantizedRowsSpan {
  std::int8_t* codes = nullptr;
  index rows = 0;
  index columns = 0;
  index stride = 0;
  float* scales = nullptr;
  std::int32_t* sums = nullptr;
  std::int32_t* zero_points = nullptr;

  operator QuantizedRowsView() const noexcept { return {codes, rows, columns, stride, scales, sums, zero_points}; }

  [[nodiscard]] PLANISH_HOST_DEVICE std::int8_t* row(index r) const noexcept { return codes + r * stride; }

  [[nodiscard]] QuantizedRowsSpan middle_rows(index first, index count) const noexcept {
    return {codes + first * stride,
            count,
            columns,
            stride,
            scales + first,
            sums + first,
            zero_points == nullptr ? nullptr : zero_points + first};
  }
};

/// Bytes from row to row: whole cache lines, an odd number of them, so that neighbouring rows never fall into the same
/// cache set.
[[nodiscard]] constexpr index quantized_rows_stride(index columns) noexcept {
  constexpr index line = static_cast<index>(buffer_alignment);
  return (divide_up(columns, line) | 1) * line;
}

/// Workspace that take_quantized_rows needs.
[[nodiscard]] constexpr std::size_t quantized_rows_bytes(index rows, index columns, bool asymmetric) noexcept {
  return workspace_bytes<std::int8_t>(rows * quantized_rows_stride(columns)) + workspace_bytes<float>(rows) +
         (asymmetric ? 2 : 1) * workspace_bytes<std::int32_t>(rows);
}

/// Room for quantized rows from the caller's workspace; `codes` is null if too little is left.
PLANISH_LAZY [[nodiscard]] QuantizedRowsSpan take_quantized_rows(Workspace& workspace, index rows, index columns,
                                                                 bool asymmetric) noexcept {
  if (workspace.size() < quantized_rows_bytes(rows, columns, asymmetric)) return {};
  QuantizedRowsSpan span;
  span.rows = rows;
  span.columns = columns;
  span.stride = quantized_rows_stride(columns);
  span.codes = workspace.take<std::int8_t>(rows * span.stride).data();
  span.scales = workspace.take<float>(rows).data();
  span.sums = workspace.take<std::int32_t>(rows).data();
  if (asymmetric) span.zero_points = workspace.take<std::int32_t>(rows).data();
  return span;
}

}  // namespace planish::inline PLANISH_ABI
