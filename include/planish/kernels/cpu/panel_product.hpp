#pragma once
// C = P · Q where Q lies in panels: what a register tile reads of it is one dense run, whatever Q's width. Rows of a
// wide Q lie a power of two apart and would share few sets of the first-level cache.
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/lane_groups.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Vectors of a panel, at most; tiles of so many vectors take most of the registers for sums.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int most_panel_vectors = 4;
#else
inline constexpr int most_panel_vectors = 2;
#endif

/// Vectors of the next panel where so many are left: never one alone, whose tiles would wait for loads.
[[nodiscard]] constexpr index panel_vectors_of(index left) noexcept {
  if (left <= most_panel_vectors) return left;
  if (most_panel_vectors == 4 && (left == 5 || left == 6 || left == 9)) return 3;
  return most_panel_vectors;
}

/// Columns of so many, filled up to whole vectors.
[[nodiscard]] constexpr index panel_columns(index columns) noexcept { return round_up(columns, float_lanes); }

/// Memory that will be read soon: so many cache lines from here on; into the first-level cache if `near`.
struct AheadLines {
  const float* from = nullptr;
  index lines = 0;
  bool near = false;

  /// Asks for the next `count` of them.
  PLANISH_ALWAYS_INLINE void ask(index count) noexcept {
    constexpr index line = 16;
    const index some = count < lines ? count : lines;
    for (index i = 0; i < some; ++i) {
      if (near)
        __builtin_prefetch(from + i * line, 0, 3);
      else
        __builtin_prefetch(from + i * line, 0, 2);
    }
    from += some * line;
    lines -= some;
  }
};

/// C = P · Q with P rows × depth, Q depth × columns, C rows × columns; none aliased. P is read element by element at
/// any strides. Q and C are row-major, or, with a stride of 0, panels: that of columns [f, f + w) is a dense depth × w
/// (or rows × w) matrix at f · depth (or f · rows), and C's last one is filled up to whole vectors.
struct PanelProduct {
  const float* p;
  index p_row_stride, p_column_stride;
  const float* q;  // whole vectors
  index q_row_stride;
  float* c;
  index c_row_stride;
  index rows, depth, columns;
  AheadLines ahead{};
};

namespace detail {

/// Rows of the tallest tile of so many vectors.
[[nodiscard]] constexpr int panel_tile_rows(int vectors) noexcept {
#if defined(__AVX512F__)
  return tile_rows(vectors == 4 ? 6 : vectors == 3 ? 8 : vectors == 2 ? 14 : 16);
#elif defined(__aarch64__)
  return tile_rows(vectors == 4 ? 6 : vectors == 3 ? 8 : vectors == 2 ? 12 : 16);
#else
  return tile_rows(vectors == 2 ? 6 : 8);
#endif
}

/// One register tile of Rows × Vectors vectors. Neighbouring lanes take turns with `Abreast` neighbouring elements of
/// P.
template <int Rows, int Vectors, int Abreast>
[[gnu::noinline]] void panel_tile(const float* p, index p_row_stride, index p_column_stride, const float* q,
                                  index q_row_stride, index depth, float* c, index c_row_stride, index lanes) noexcept {
  FloatBatch sum[Rows][Vectors];
  unroll<Rows>([&](auto i) { unroll<Vectors>([&](auto v) { sum[i][v] = FloatBatch(0.0f); }); });
  for (index k = 0; k < depth; ++k) {
    FloatBatch b[Vectors];
    unroll<Vectors>([&](auto v) { b[v] = FloatBatch::load_unaligned(q + v * float_lanes); });
    unroll<Rows>([&](auto i) {
      const FloatBatch a = repeated_lanes<Abreast>(p + i * p_row_stride);
      unroll<Vectors>([&](auto v) { sum[i][v] = multiply_add(a, b[v], sum[i][v]); });
    });
    p += p_column_stride;
    q += q_row_stride;
  }
  unroll<Rows>([&](auto i) {
    unroll<Vectors>([&](auto v) {
      float* const to = c + i * c_row_stride + v * float_lanes;
      if (v < Vectors - 1 || lanes == float_lanes)
        sum[i][v].store_unaligned(to);
      else
        store_partial(sum[i][v], to, lanes);
    });
  });
}

/// All rows of one panel: as many tiles of full height as leave a multiple of one row less, then those.
template <int Vectors, int Abreast>
void panel_rows(const float* p, const PanelProduct& m, const float* q, index q_row_stride, float* c, index c_row_stride,
                index lanes, AheadLines& ahead, index lines_per_row) noexcept {
  constexpr int most = panel_tile_rows(Vectors), less = most > 1 ? most - 1 : 1;
  index row = 0;
  const auto run = [&](auto rows) {
    ahead.ask(lines_per_row * rows);
    panel_tile<rows, Vectors, Abreast>(p + row * m.p_row_stride, m.p_row_stride, m.p_column_stride, q, q_row_stride,
                                       m.depth, c + row * c_row_stride, c_row_stride, lanes);
    row += rows;
  };
  while (m.rows - row >= most && ((m.rows - row) % less != 0 || m.rows - row >= most * less))
    run(std::integral_constant<int, most>{});
  while (m.rows - row >= less) run(std::integral_constant<int, less>{});
  if constexpr (less > 4)
    while (m.rows - row >= 4) run(std::integral_constant<int, 4>{});
  if constexpr (less > 2)
    while (m.rows - row >= 2) run(std::integral_constant<int, 2>{});
  while (row < m.rows) run(std::integral_constant<int, 1>{});
}

}  // namespace detail

/// Runs the product. Every element of C is one sum of multiply_add terms over rising depth, from zero. With `Abreast`
/// above 1 that many matrices P lie element beside element, as do the columns of C, and Q holds every column so often.
template <int Abreast = 1>
void panel_product(const PanelProduct& m) noexcept {
  const index columns = panel_columns(m.columns), vectors = columns / float_lanes;
  AheadLines ahead = m.ahead;
  const index panels = divide_up(vectors, most_panel_vectors);
  const index lines_per_row = divide_up(ahead.lines, panels * m.rows);
  for (index first = 0; first < vectors;) {
    const index count = panel_vectors_of(vectors - first), width = count * float_lanes, column = first * float_lanes;
    const index lanes = m.c_row_stride == 0 || column + width <= m.columns ? float_lanes : m.columns % float_lanes;
    const float* const q = m.q + column * (m.q_row_stride == 0 ? m.depth : 1);
    float* const c = m.c + column * (m.c_row_stride == 0 ? m.rows : 1);
    with_constant<most_panel_vectors>(static_cast<int>(count), [&](auto v) {
      detail::panel_rows<v, Abreast>(m.p, m, q, m.q_row_stride == 0 ? width : m.q_row_stride, c,
                                     m.c_row_stride == 0 ? width : m.c_row_stride, lanes, ahead, lines_per_row);
    });
    first += count;
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
