#pragma once
#include <algorithm>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Four floats, on every instruction set that has such vectors.
using FourFloats __attribute__((vector_size(16), aligned(4), may_alias)) = float;

/// to (4 × 4) = fromᵀ.
PLANISH_ALWAYS_INLINE void transpose_tile(const float* from, index from_stride, float* to, index to_stride) noexcept {
  const auto row = [&](index r) __attribute__((always_inline)) {
    return *reinterpret_cast<const FourFloats*>(from + r * from_stride);
  };
  const auto store = [&](index r, FourFloats v) __attribute__((always_inline)) {
    *reinterpret_cast<FourFloats*>(to + r * to_stride) = v;
  };
  const FourFloats a = row(0), b = row(1), c = row(2), d = row(3);
  const FourFloats ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                   ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const FourFloats cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                   cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(0, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store(1, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store(2, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store(3, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

}  // namespace detail

/// to (columns × rows) = fromᵀ, from rows × columns; rows of both dense, not aliased. A cache line of `from` is used up
/// while it is near; lines of `to` are used up if `to_stride` does not bring many of its rows into one cache set.
inline void transpose(const float* from, index from_stride, index rows, index columns, float* to,
                      index to_stride) noexcept {
  constexpr index tile = 4, line = 16, ahead = 4 * line;
  const index tiled_rows = rows / tile * tile;
  for (index first = 0; first < columns; first += line) {
    const index last = std::min(first + line, columns), tiled = first + (last - first) / tile * tile;
    for (index r = 0; r < tiled_rows; r += tile) {
      const float* const at = from + r * from_stride;
      for (index i = 0; i < tile; ++i) __builtin_prefetch(at + i * from_stride + first + ahead);
      for (index c = first; c < tiled; c += tile)
        detail::transpose_tile(at + c, from_stride, to + c * to_stride + r, to_stride);
      for (index c = tiled; c < last; ++c)
        for (index i = 0; i < tile; ++i) to[c * to_stride + r + i] = at[i * from_stride + c];
    }
    for (index r = tiled_rows; r < rows; ++r)
      for (index c = first; c < last; ++c) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
