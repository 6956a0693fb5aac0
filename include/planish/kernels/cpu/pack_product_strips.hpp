#pragma once
#include <algorithm>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/float_tiles.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/transpose.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows of one strip: of the tallest register tile.
inline constexpr index product_strip_rows = most_float_rows;

/// The strips [strips.begin, strips.end) of a (rows × depth; its rows or its columns are dense) as [strip][depth][rows
/// of the strip], the last with the rows that are left. Strip s starts at to + s · product_strip_rows · depth.
inline void pack_product_strips(MatrixView<const float> a, Range strips, float* to) noexcept {
  const index depth = a.columns(), most = product_strip_rows;
  const auto rows_of = [&](index strip) { return std::min(most, a.rows() - strip * most); };
  if (a.has_dense_rows()) {
    for (index s = strips.begin; s < strips.end; ++s)
      transpose(a.row(s * most), a.row_stride(), rows_of(s), depth, to + s * most * depth, rows_of(s));
    return;
  }
  constexpr index together = 4, ahead = 16;  // strips that share the cache lines of a column; columns
  for (index first = strips.begin; first < strips.end; first += together) {
    const index end = std::min(first + together, strips.end), whole = rows_of(end - 1) == most ? end : end - 1;
    for (index k = 0; k < depth; ++k) {
      const float* from = a.data() + first * most + k * a.column_stride();
      for (index line = 0; line < together * most; line += 16)
        __builtin_prefetch(from + ahead * a.column_stride() + line);
      float* at = to + first * most * depth + k * most;
      for (index s = first; s < whole; ++s, from += most, at += most * depth)
        std::memcpy(at, from, most * sizeof(float));
    }
    if (whole < end) {
      const index rows = rows_of(whole);
      const float* const from = a.data() + whole * most;
      for (index k = 0; k < depth; ++k)
        std::copy_n(from + k * a.column_stride(), rows, to + whole * most * depth + k * rows);
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
