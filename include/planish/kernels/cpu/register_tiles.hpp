#pragma once
// Tiles of the integer product whose sums stay in registers: they start at what the zero points take away, so that
// nothing is left to correct. For instruction sets whose sums are whole vectors of channels
// (`Isa::keeps_sums_in_registers`).
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/integer_tiles.hpp>
#include <planish/kernels/cpu/panel_output.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows of a tile under group scales, whose integer and float sums share the registers.
inline constexpr int most_group_rows = tile_rows(7);

/// Some rows of activations and a run of lines of one panel.
struct TileWork {
  const std::uint8_t* lines;
  index line_count, group_lines;  // the last group may have fewer
  const std::int8_t* x;           // the first row, from the first line's column on
  index x_stride;
  const std::int32_t* starts;  // [group][row]: where the sums start
  index starts_stride;
  const float* scales;  // [group][32]
  float* results;       // [row][32]; int32 between two runs of one group
  bool first, last;     // run of the panel
  const float* tokens;  // [row]: scales of the rows
  const float* bias;    // [32]
  float* y;             // first row of the output, if the last run shall write it; else null
  index y_stride;
  const std::uint8_t* ahead;  // lines to ask for meanwhile, `ahead_step` bytes further with each line
  index ahead_step;
};

/// Sets of sums, for lines in turn, so that few rows still have enough of them to hide the latency of a dot product.
[[nodiscard]] constexpr int register_depth(int rows) noexcept { return rows <= 2 ? 2 : 1; }

/// The sums of Rows rows over lines that pass by.
template <class Dots, int Rows>
struct RegisterSums {
  static constexpr int loads = Dots::loads_per_tile(Rows), depth = register_depth(Rows), step = 2;
  static constexpr index bytes = loads * Dots::load_bytes;
  // Hardware brings lines in pairs. Many rows leave it time, and every further instruction costs them.
  static constexpr int asks_per_step = Rows > 8 ? 1 : step;

  typename Dots::Sums sums[depth][Rows][loads];

  PLANISH_ALWAYS_INLINE void start(const std::int32_t* starts) noexcept {
    unroll<Rows * depth * loads>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / (depth * loads), d = decltype(i)::value / loads % depth;
      sums[d][r][i % loads] = d == 0 ? Dots::start(starts + r) : Dots::zero();
    });
  }

  PLANISH_ALWAYS_INLINE void add_line(const std::uint8_t* line, const RowPointers<Rows>& rows, auto d) noexcept {
    typename Dots::Weights weights[loads];
    unroll<loads>([&](auto l) __attribute__((always_inline)) {
      weights[l] = Dots::load(line + d * bytes + l * Dots::load_bytes);
    });
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      const typename Dots::Activations four = Dots::broadcast(rows.template four<decltype(r)::value>(d * line_depth));
      unroll<loads>([&](auto l) __attribute__((always_inline)) { Dots::add(sums[d % depth][r][l], weights[l], four); });
    });
  }

  PLANISH_ALWAYS_INLINE void add_lines(index count, const std::uint8_t*& line, RowPointers<Rows>& rows,
                                       const std::uint8_t*& ahead, index ahead_step) noexcept {
    const std::uint8_t* w = line;
    for (; count >= step; count -= step) {
      unroll<step>([&](auto d) __attribute__((always_inline)) {
        if constexpr (d < asks_per_step) __builtin_prefetch(ahead + d * ahead_step, 0, 2);
        add_line(w, rows, d);
      });
      ahead += step * ahead_step;
      w += step * bytes;
      rows.advance(step * line_depth);
    }
    if (count > 0) {
      add_line(w, rows, std::integral_constant<int, 0>{});
      w += bytes;
      rows.advance(line_depth);
    }
    line = w;
    unroll<(depth - 1) * Rows * loads>([&](auto i) __attribute__((always_inline)) {
      constexpr int d = decltype(i)::value / (Rows * loads) + 1, r = decltype(i)::value / loads % Rows;
      Dots::merge(sums[0][r][i % loads], sums[d][r][i % loads]);
    });
  }

  /// Calls `body(row, vector, sums of its channels)`.
  template <class Body>
  PLANISH_ALWAYS_INLINE void for_each_vector(Body&& body) const noexcept {
    unroll<Rows * panel_vectors>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / panel_vectors, v = decltype(i)::value % panel_vectors;
      body(std::integral_constant<int, r>{}, std::integral_constant<int, v>{}, Dots::template vector<v>(sums[0][r]));
    });
  }
};

/// Stores rows of the output, `value(row, vector)` each.
template <int Rows, class Value>
PLANISH_ALWAYS_INLINE void store_tile(float* to, index stride, Value&& value) noexcept {
  unroll<Rows>([&](auto r) __attribute__((always_inline)) {
    unroll<panel_vectors>([&](auto v)
                              __attribute__((always_inline)) { value(r, v).store_unaligned(to + v * float_lanes); });
    to += stride;
  });
}

/// Lines of one group: the results become float(sum), or int32 until the last run.
template <class Dots, int Rows>
[[gnu::noinline]] void run_tile(const TileWork& t) noexcept {
  RegisterSums<Dots, Rows> tile;
  RowPointers<Rows> rows(t.x, t.x_stride);
  const std::uint8_t *line = t.lines, *ahead = t.ahead;
  auto* kept = reinterpret_cast<std::int32_t*>(t.results);
  tile.start(t.starts);
  if constexpr (requires { Dots::resume(nullptr, 0); }) {
    if (!t.first) {
      unroll<Rows * tile.loads>([&](auto i) __attribute__((always_inline)) {
        constexpr int r = decltype(i)::value / tile.loads, l = decltype(i)::value % tile.loads;
        tile.sums[0][r][l] = Dots::resume(kept + r * panel_width, l);
      });
    }
  }
  tile.add_lines(t.line_count, line, rows, ahead, t.ahead_step);
  if (t.y != nullptr) {
    store_tile<Rows>(
        t.y, t.y_stride, [&](auto r, auto v) __attribute__((always_inline)) {
          const IntBatch sum = Dots::template vector<decltype(v)::value>(tile.sums[0][r]);
          return fused_multiply_add(xsimd::to_float(sum) * FloatBatch(t.tokens[r]),
                                    FloatBatch::load_unaligned(t.scales + v * float_lanes),
                                    FloatBatch::load_unaligned(t.bias + v * float_lanes));
        });
  } else if (t.last) {
    tile.for_each_vector([&](auto r, auto v, IntBatch sum) __attribute__((always_inline)) {
      xsimd::to_float(sum).store_aligned(t.results + r * panel_width + v * float_lanes);
    });
  } else {
    tile.for_each_vector([&](auto r, auto v, IntBatch sum) __attribute__((always_inline)) {
      sum.store_aligned(kept + r * panel_width + v * float_lanes);
    });
  }
}

/// Lines of whole groups: each adds float(sum) · scale to the results, with one rounding.
template <class Dots, int Rows>
[[gnu::noinline]] void run_group_tile(const TileWork& t) noexcept {
  RowPointers<Rows> rows(t.x, t.x_stride);
  const std::uint8_t *line = t.lines, *ahead = t.ahead;
  FloatBatch results[Rows][panel_vectors];
  unroll<Rows * panel_vectors>([&](auto i) __attribute__((always_inline)) {
    constexpr int r = decltype(i)::value / panel_vectors, v = decltype(i)::value % panel_vectors;
    results[r][v] =
        t.first ? FloatBatch(0.0f) : FloatBatch::load_aligned(t.results + r * panel_width + v * float_lanes);
  });
  const std::int32_t* starts = t.starts;
  const float* scales = t.scales;
  for (index left = t.line_count; left > 0; left -= t.group_lines) {
    RegisterSums<Dots, Rows> tile;
    tile.start(starts);
    tile.add_lines(std::min(left, t.group_lines), line, rows, ahead, t.ahead_step);
    tile.for_each_vector([&](auto r, auto v, IntBatch sum) __attribute__((always_inline)) {
      results[r][v] =
          fused_multiply_add(xsimd::to_float(sum), FloatBatch::load_unaligned(scales + v * float_lanes), results[r][v]);
    });
    starts += t.starts_stride;
    scales += panel_width;
  }
  if (t.y != nullptr)
    return store_tile<Rows>(
        t.y, t.y_stride, [&](auto r, auto v) __attribute__((always_inline)) {
          return fused_multiply_add(results[r][v], FloatBatch(t.tokens[r]),
                                    FloatBatch::load_unaligned(t.bias + v * float_lanes));
        });
  unroll<Rows * panel_vectors>([&](auto i) __attribute__((always_inline)) {
    constexpr int r = decltype(i)::value / panel_vectors, v = decltype(i)::value % panel_vectors;
    results[r][v].store_aligned(t.results + r * panel_width + v * float_lanes);
  });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
