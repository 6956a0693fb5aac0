#pragma once
#include <algorithm>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// C = P · Q with P rows × depth, Q depth × columns, C rows × columns; none aliased. P is read element by element at
/// any strides; Q and C by vectors along their rows.
struct SmallProduct {
  const float* p;
  index p_row_stride, p_column_stride;
  const float* q;
  index q_row_stride;
  float* c;
  index c_row_stride;
  index rows, depth, columns;
  const float* ahead = nullptr;  // as many floats as C has, to ask for meanwhile
};

namespace detail {

// Accumulators fill the register file but for one row of Q and one element of P.
inline constexpr int product_tile_rows = float_lanes == 16 ? 8 : 6;
inline constexpr int product_tile_vectors = float_lanes == 16 ? 3 : 2;
// The tallest tile of two vectors: fewer starts and ends where it divides the rows.
inline constexpr int product_tall_rows = float_lanes == 16 ? 12 : product_tile_rows;

/// One register tile: Rows × Vectors vectors of C, from (row, column). With Partial the last vector has only `lanes`
/// columns.
template <int Rows, int Vectors, bool Partial>
void product_tile(const SmallProduct& m, index row, index column, index lanes) noexcept {
  FloatBatch sum[Rows][Vectors];
  unroll<Rows>([&](auto i) { unroll<Vectors>([&](auto v) { sum[i][v] = FloatBatch(0.0f); }); });
  const float* p = m.p + row * m.p_row_stride;
  const float* q = m.q + column;
  for (index k = 0; k < m.depth; ++k) {
    FloatBatch b[Vectors];
    unroll<Vectors>([&](auto v) {
      if constexpr (Partial && v == Vectors - 1)
        b[v] = load_partial(q + v * float_lanes, lanes);
      else
        b[v] = FloatBatch::load_unaligned(q + v * float_lanes);
    });
    unroll<Rows>([&](auto i) {
      const FloatBatch a(p[i * m.p_row_stride]);
      unroll<Vectors>([&](auto v) { sum[i][v] = multiply_add(a, b[v], sum[i][v]); });
    });
    p += m.p_column_stride;
    q += m.q_row_stride;
  }
  unroll<Rows>([&](auto i) {
    float* c = m.c + (row + i) * m.c_row_stride + column;
    unroll<Vectors>([&](auto v) {
      if constexpr (Partial && v == Vectors - 1)
        store_partial(sum[i][v], c + v * float_lanes, lanes);
      else
        sum[i][v].store_unaligned(c + v * float_lanes);
    });
  });
}

/// Rows in tiles of `Rows`; a remainder is covered by a full tile that computes some rows twice.
template <int Rows, int Vectors, bool Partial>
void product_tiles(const SmallProduct& m, index column, index lanes) noexcept {
  constexpr index line = 16, width = Vectors * float_lanes;
  for (index row = 0; row < m.rows; row += Rows) {
    if (m.ahead != nullptr) {
      const float* const from = m.ahead + column * m.rows + row * width;
      for (index i = 0; i < Rows * width; i += line) __builtin_prefetch(from + i, 0, 2);
    }
    product_tile<Rows, Vectors, Partial>(m, row + Rows <= m.rows ? row : m.rows - Rows, column, lanes);
  }
}

/// All rows of one group of columns.
template <int Vectors, bool Partial>
void product_columns(const SmallProduct& m, index column, index lanes) noexcept {
  if constexpr (Vectors == 2 && product_tall_rows != product_tile_rows)
    if (m.rows % product_tall_rows == 0) return product_tiles<product_tall_rows, Vectors, Partial>(m, column, lanes);
  if (m.rows >= product_tile_rows) return product_tiles<product_tile_rows, Vectors, Partial>(m, column, lanes);
  index row = 0;
  for (; row + 4 <= m.rows; row += 4) product_tile<4, Vectors, Partial>(m, row, column, lanes);
  for (; row + 2 <= m.rows; row += 2) product_tile<2, Vectors, Partial>(m, row, column, lanes);
  if (row < m.rows) product_tile<1, Vectors, Partial>(m, row, column, lanes);
}

}  // namespace detail

/// Runs the product. Every element of C is one sum of multiply_add terms over rising depth, from zero.
PLANISH_LAZY void small_product(const SmallProduct& m) noexcept {
  const index whole = m.columns / float_lanes, lanes = m.columns % float_lanes;
  const index vectors = whole + (lanes > 0 ? 1 : 0);
  for (index first = 0; first < vectors;) {
    const index left = vectors - first;
    // Four vectors as two and two: three and one would leave the last tile short of independent sums.
    const index count =
        left == detail::product_tile_vectors + 1 ? 2 : std::min<index>(left, detail::product_tile_vectors);
    const bool partial = lanes > 0 && first + count == vectors;
    with_constant<detail::product_tile_vectors>(static_cast<int>(count), [&](auto v) {
      if (partial)
        detail::product_columns<v, true>(m, first * float_lanes, lanes);
      else
        detail::product_columns<v, false>(m, first * float_lanes, lanes);
    });
    first += count;
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
