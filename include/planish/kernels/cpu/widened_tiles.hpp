#pragma once
// Tiles for instruction sets whose exact products of bytes want 16-bit activations (`Dots::widen`).
#include <algorithm>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/kernels/cpu/unroll.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Sums over columns [begin, end), at most Dots::most_columns, of one panel; `panel` is its first byte. What a line
/// holds beside them meets activations of 0.
template <class Dots, CodeStorage Storage, int Rows>
void sum_widened_columns(const std::uint8_t* panel, const std::int8_t* x, index x_stride, index begin, index end,
                         std::int32_t (*sums)[panel_width]) noexcept {
  constexpr index bytes = line_bytes(Storage), most = Dots::most_columns + line_depth;
  constexpr int loads = Dots::loads_per_tile(Rows);
  static_assert(bytes % (loads * Dots::load_bytes) == 0, "planish: a tile takes whole parts of a line");
  alignas(64) std::int16_t wide[Rows][most];
  const index first_line = begin / line_depth, lines = line_count(end) - first_line;
  const index head = begin % line_depth, count = end - first_line * line_depth;
  for (int r = 0; r < Rows; ++r) {
    Dots::widen(x + r * x_stride + first_line * line_depth, count, wide[r]);
    std::fill_n(wide[r], head, std::int16_t{0});
    std::fill(wide[r] + count, wide[r] + lines * line_depth, std::int16_t{0});
  }
  for (index part = 0; part < bytes; part += loads * Dots::load_bytes) {
    typename Dots::Sums c[Rows][loads];
    unroll<Rows * loads>([&](auto i) __attribute__((always_inline)) { c[i / loads][i % loads] = Dots::zero(); });
    const std::uint8_t* w = panel + first_line * bytes + part;
    for (index line = 0; line < lines; ++line, w += bytes) {
      typename Dots::Weights weights[loads];
      unroll<loads>([&](auto l) __attribute__((always_inline)) { weights[l] = Dots::load(w + l * Dots::load_bytes); });
      unroll<Rows>([&](auto r) __attribute__((always_inline)) {
        const typename Dots::Activations four = Dots::broadcast(wide[r] + line * line_depth);
        unroll<loads>([&](auto l) __attribute__((always_inline)) { Dots::add(c[r][l], weights[l], four); });
      });
    }
    unroll<Rows * loads>([&](auto i) __attribute__((always_inline)) {
      Dots::store(c[i / loads][i % loads], sums[i / loads], static_cast<int>(part / Dots::load_bytes) + i % loads);
    });
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
