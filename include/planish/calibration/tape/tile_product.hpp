#pragma once
// Products of tiles that fit a cache.
#include <algorithm>
#include <type_traits>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/cpu/transpose.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape {

/// P · Q with P rows × depth, at any strides, and Q depth × columns with dense rows.
template <class T>
struct TileProduct {
  const T* p;
  index p_row_stride, p_column_stride;
  const T* q;
  index q_row_stride;
  index rows, depth, columns;

  /// c = P · Q, its rows `stride` elements apart.
  void to(T* c, index stride) const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      kernels::cpu::small_product({p, p_row_stride, p_column_stride, q, q_row_stride, c, stride, rows, depth, columns});
    } else {  // float64, which only checks need
      for (index r = 0; r < rows; ++r) {
        std::fill_n(c + r * stride, columns, T{});
        for (index k = 0; k < depth; ++k)
          for (index j = 0; j < columns; ++j)
            c[r * stride + j] += p[r * p_row_stride + k * p_column_stride] * q[k * q_row_stride + j];
      }
    }
  }

  /// c += P · Q, c dense, with room for as many elements.
  void add_to(T* c, T* room) const noexcept {
    to(room, columns);
    for_lanes<T>(rows * columns, [&](auto at) { store<T>(load(c, at) + load(room, at), c, at); });
  }
};

/// to[i][t] = from[t][i], for `rows` rows of `columns` elements.
template <class T>
inline void transpose_tile(const T* from, index from_stride, index rows, index columns, T* to,
                           index to_stride) noexcept {
  if constexpr (std::is_same_v<T, float>) {
    kernels::cpu::transpose(from, from_stride, rows, columns, to, to_stride);
  } else {
    for (index t = 0; t < rows; ++t)
      for (index i = 0; i < columns; ++i) to[i * to_stride + t] = from[t * from_stride + i];
  }
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape
