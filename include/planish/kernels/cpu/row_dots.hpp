#pragma once
#include <algorithm>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/transpose.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// c = Σ over g of A_g · B_gᵀ, with A_g rows × depth and B_g columns × depth, row-major and dense, one behind the
/// other: dot products of short rows, summed over many pairs of small matrices. c: rows × columns, dense.
struct RowDots {
  const float* a;
  const float* b;
  index groups, rows, columns, depth;
  float* c;
};

namespace detail {

// Accumulators, the rows of b and one row of a fill the register file.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int dots_tile_rows = tile_rows(4), dots_tile_columns = tile_rows(6);
#else
inline constexpr int dots_tile_rows = tile_rows(3), dots_tile_columns = tile_rows(3);
#endif

/// The sums of the lanes of 4 vectors, in a fixed order: quarters of a vector first, then the four of each.
PLANISH_ALWAYS_INLINE FourFloats sums_of_lanes(const float* vectors) noexcept {
  FourFloats quarters[4];
  unroll<4>([&](auto i) __attribute__((always_inline)) {
    const auto quarter = [&](index q) __attribute__((always_inline)) {
      return *reinterpret_cast<const FourFloats*>(vectors + i * float_lanes + 4 * q);
    };
    quarters[i] = quarter(0);
    unroll<static_cast<int>(float_lanes / 4) - 1>([&](auto q) __attribute__((always_inline)) {
      quarters[i] += quarter(q + 1);
    });
  });
  alignas(16) float sums[16];
  transpose_tile(reinterpret_cast<const float*>(quarters), 4, sums, 4);
  const auto row = [&](index r) __attribute__((always_inline)) {
    return *reinterpret_cast<const FourFloats*>(sums + 4 * r);
  };
  return (row(0) + row(1)) + (row(2) + row(3));
}

/// Rows × Columns dot products, from (row, column); lanes run along the depth.
template <int Rows, int Columns>
void dots_tile(const RowDots& m, index row, index column) noexcept {
  FloatBatch sums[Rows][Columns];
  unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) {
    sums[decltype(i)::value / Columns][decltype(i)::value % Columns] = FloatBatch(0.0f);
  });
  // Three rows share a pointer, as far as scaled addresses reach: a pointer for each would not fit into registers.
  constexpr int together = 3, a_pointers = divide_up(Rows, together), b_pointers = divide_up(Columns, together);
  const index stride = m.depth, whole = m.depth / float_lanes, rest = m.depth % float_lanes;
  const float *a[a_pointers], *b[b_pointers];
  unroll<a_pointers>([&](auto p) __attribute__((always_inline)) { a[p] = m.a + (row + p * together) * stride; });
  unroll<b_pointers>([&](auto p) __attribute__((always_inline)) { b[p] = m.b + (column + p * together) * stride; });
  const auto advance = [&](index a_step, index b_step) __attribute__((always_inline)) {
    unroll<a_pointers>([&](auto p) __attribute__((always_inline)) { a[p] += a_step; });
    unroll<b_pointers>([&](auto p) __attribute__((always_inline)) { b[p] += b_step; });
  };
  const auto step = [&](auto&& load) __attribute__((always_inline)) {
    FloatBatch others[Columns];
    unroll<Columns>([&](auto j) __attribute__((always_inline)) {
      others[j] = load(b[decltype(j)::value / together] + decltype(j)::value % together * stride);
    });
    unroll<Rows>([&](auto i) __attribute__((always_inline)) {
      const FloatBatch one = load(a[decltype(i)::value / together] + decltype(i)::value % together * stride);
      unroll<Columns>([&](auto j)
                          __attribute__((always_inline)) { sums[i][j] = multiply_add(one, others[j], sums[i][j]); });
    });
  };
  for (index g = 0; g < m.groups; ++g) {
    for (index k = 0; k < whole; ++k) {
      step([](const float* from) __attribute__((always_inline)) { return FloatBatch::load_unaligned(from); });
      advance(float_lanes, float_lanes);
    }
    if (rest > 0) step([rest](const float* from) __attribute__((always_inline)) { return load_partial(from, rest); });
    advance(m.rows * stride - whole * float_lanes, m.columns * stride - whole * float_lanes);
  }
  constexpr int padded = (Rows * Columns + 3) / 4 * 4;
  alignas(64) float lanes[padded * FloatBatch::size] = {};
  alignas(16) float results[padded];
  unroll<Rows * Columns>([&](auto i) __attribute__((always_inline)) {
    sums[decltype(i)::value / Columns][decltype(i)::value % Columns].store_aligned(lanes + i * float_lanes);
  });
  for (int i = 0; i < padded; i += 4)
    *reinterpret_cast<FourFloats*>(results + i) = sums_of_lanes(lanes + i * float_lanes);
  for (int r = 0; r < Rows; ++r) std::copy_n(results + r * Columns, Columns, m.c + (row + r) * m.columns + column);
}

/// All of c in tiles of one size, which fits at least once; at the ends tiles overlap and compute the same twice.
template <int Rows, int Columns>
void dots_tiles(const RowDots& m) noexcept {
  for (index row = 0; row < m.rows; row += Rows)
    for (index column = 0; column < m.columns; column += Columns)
      dots_tile<Rows, Columns>(m, row + Rows <= m.rows ? row : m.rows - Rows,
                               column + Columns <= m.columns ? column : m.columns - Columns);
}

}  // namespace detail

/// Runs the sums. Their order follows from the shape.
PLANISH_LAZY void row_dots(const RowDots& m) noexcept {
  using detail::dots_tile_columns, detail::dots_tile_rows;
  const auto with_columns = [&](auto rows) {
    if (m.columns >= dots_tile_columns) return detail::dots_tiles<rows, dots_tile_columns>(m);
    if (m.columns >= 2) return detail::dots_tiles<rows, 2>(m);
    detail::dots_tiles<rows, 1>(m);
  };
  if (m.rows >= dots_tile_rows) return with_columns(std::integral_constant<int, dots_tile_rows>{});
  if (m.rows >= 2) return with_columns(std::integral_constant<int, 2>{});
  with_columns(std::integral_constant<int, 1>{});
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
