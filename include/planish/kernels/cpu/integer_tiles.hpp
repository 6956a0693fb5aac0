#pragma once
// The integer product, written once for every ISA: register tiles of rows × one panel of 32 channels. Weights stream
// past as they lie in memory; each group of 4 activations is broadcast straight from its row.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/executor.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/kernels/cpu/widened_tiles.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Rows × 32 raw sums Σ code_x · stored_w, row-major.
template <class Isa>
struct alignas(64) TileSums {
  std::int32_t values[Isa::most_rows][panel_width];
};

/// Rows that read their activations together. Three share a pointer, as far as scaled addresses reach: a pointer for
/// each would not fit into registers.
template <int Rows>
struct RowPointers {
  static constexpr int together = 3;
  const std::int8_t* firsts[divide_up(Rows, together)];
  index stride;

  RowPointers(const std::int8_t* start, index row_stride) noexcept : stride(row_stride) {
    unroll<std::extent_v<decltype(firsts)>>([&](auto i) __attribute__((always_inline)) {
      firsts[i] = start + i * together * row_stride;
    });
  }
  template <int Row>
  [[nodiscard]] PLANISH_ALWAYS_INLINE const std::int8_t* at(index offset) const noexcept {
    return firsts[Row / together] + Row % together * stride + offset;
  }
  template <int Row>
  [[nodiscard]] PLANISH_ALWAYS_INLINE std::int32_t four(index offset) const noexcept {
    std::int32_t codes;
    std::memcpy(&codes, at<Row>(offset), sizeof codes);
    return codes;
  }
  PLANISH_ALWAYS_INLINE void advance(index bytes) noexcept {
    unroll<std::extent_v<decltype(firsts)>>([&](auto i) __attribute__((always_inline)) { firsts[i] += bytes; });
  }
};

/// Sets of sums, for lines in turn, so that few rows still have enough of them to hide the latency of a dot product.
[[nodiscard]] constexpr int tile_depth(int rows) noexcept { return rows == 1 ? 4 : rows <= 4 ? 2 : 1; }

/// Bits of the activation bytes [begin, end) of a group of 4.
[[nodiscard]] constexpr std::int32_t four_mask(index begin, index end) noexcept {
  std::uint32_t mask = 0;
  for (index i = begin; i < end; ++i) mask |= 0xffu << (8 * i);
  return static_cast<std::int32_t>(mask);
}

/// Sums over columns [begin, end) of one panel; `panel` is its first byte. Columns behind `end` count only where a line
/// reaches past the row, and there the activations are 0.
template <class Dots, CodeStorage Storage, int Rows>
void sum_columns(const std::uint8_t* panel, const std::int8_t* x, index x_stride, index begin, index end,
                 bool at_border, std::int32_t (*sums)[panel_width]) noexcept {
  constexpr index bytes = line_bytes(Storage);
  constexpr int loads = Dots::loads_per_tile(Rows);
  constexpr int depth = tile_depth(Rows);
  constexpr int step = depth == 1 ? 2 : depth;  // lines per turn of the loop
  static_assert(bytes % (loads * Dots::load_bytes) == 0, "planish: a tile takes whole parts of a line");
  const index head = begin % line_depth, tail = at_border ? end % line_depth : 0;
  for (index part = 0; part < bytes; part += loads * Dots::load_bytes) {
    typename Dots::Sums c[depth][Rows][loads];
    unroll<depth * Rows * loads>([&](auto i) __attribute__((always_inline)) {
      c[i / (Rows * loads)][i / loads % Rows][i % loads] = Dots::zero();
    });
    const std::uint8_t* w = panel + begin / line_depth * bytes + part;
    RowPointers<Rows> rows(x + begin / line_depth * line_depth, x_stride);
    const auto add_line = [&](auto d, std::int32_t mask) __attribute__((always_inline)) {
      typename Dots::Weights weights[loads];
      unroll<loads>([&](auto l) __attribute__((always_inline)) {
        weights[l] = Dots::load(w + d * bytes + l * Dots::load_bytes);
      });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const typename Dots::Activations four =
            Dots::broadcast(rows.template four<decltype(r)::value>(d * line_depth) & mask);
        unroll<loads>([&](auto l) __attribute__((always_inline)) { Dots::add(c[d % depth][r][l], weights[l], four); });
      });
    };
    constexpr std::integral_constant<int, 0> first{};
    index lines = (end + (at_border ? 0 : line_depth - 1)) / line_depth - begin / line_depth;
    if (head != 0) {
      add_line(first, four_mask(head, lines == 0 ? tail : line_depth));
      w += bytes;
      rows.advance(line_depth);
      --lines;
    }
    for (; lines >= step; lines -= step) {
      if constexpr (depth == 1 && requires { &Dots::add_two; }) {
        typename Dots::Weights weights[2][loads];
        unroll<2 * loads>([&](auto i) __attribute__((always_inline)) {
          weights[i / loads][i % loads] = Dots::load(w + i / loads * bytes + i % loads * Dots::load_bytes);
        });
        unroll<Rows>([&](auto r) __attribute__((always_inline)) {
          constexpr int row = decltype(r)::value;
          const auto one = Dots::broadcast(rows.template four<row>(0));
          const auto two = Dots::broadcast(rows.template four<row>(line_depth));
          unroll<loads>([&](auto l) __attribute__((always_inline)) {
            Dots::add_two(c[0][r][l], weights[0][l], one, weights[1][l], two);
          });
        });
      } else {
        unroll<step>([&](auto d) __attribute__((always_inline)) { add_line(d, -1); });
      }
      w += step * bytes;
      rows.advance(step * line_depth);
    }
    for (; lines > 0; --lines) {
      add_line(first, -1);
      w += bytes;
      rows.advance(line_depth);
    }
    if (tail != 0 && lines == 0) add_line(first, four_mask(0, tail));
    unroll<Rows * loads>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = decltype(i)::value / loads, l = decltype(i)::value % loads;
      unroll<depth - 1>([&](auto d) __attribute__((always_inline)) { Dots::merge(c[0][r][l], c[d + 1][r][l]); });
      Dots::store(c[0][r][l], sums[r], static_cast<int>(part / Dots::load_bytes) + l);
    });
  }
}

/// Raw sums of `rows` rows from `x` on against one panel, over columns [begin, end): any row count up to
/// Isa::most_rows, any borders.
template <class Isa, CodeStorage Storage>
void tile_sums(const PackedWeightsView& w, index panel, QuantizedRowsView x, index begin, index end,
               TileSums<Isa>& sums) noexcept {
  using Dots = typename Isa::template Dots<Storage>;
  const std::uint8_t* bytes = w.panels + panel * w.panel_bytes();
  with_constant<Isa::most_rows>(
      static_cast<int>(x.rows), [&](auto rows) __attribute__((always_inline)) {
        constexpr int count = decltype(rows)::value;
        const auto add = [&](index from, index to, std::int32_t(*into)[panel_width]) __attribute__((always_inline)) {
          if constexpr (requires { &Dots::widen; })
            sum_widened_columns<Dots, Storage, count>(bytes, x.codes, x.stride, from, to, into);
          else
            sum_columns<Dots, Storage, count>(bytes, x.codes, x.stride, from, to, to != w.columns, into);
        };
        index from = begin, to = std::min(end, begin / line_depth * line_depth + Dots::most_columns);
        add(from, to, sums.values);
        while (to != end) {  // longer than one register of sums can hold
          TileSums<Isa> more;
          from = to;
          to = std::min(end, from + Dots::most_columns);
          add(from, to, more.values);
          for (int r = 0; r < count; ++r)
            for (index c = 0; c < panel_width; ++c) sums.values[r][c] += more.values[r][c];
        }
      });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
