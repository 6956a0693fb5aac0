#pragma once
// Products of floats and codes by matrix tiles of AMX-BF16: the floats, times the scale of the codes that they meet,
// are split into pairs of bfloat16, and the codes are bfloat16 as they are: two products for the three of
// split_product.hpp.
#include <planish/kernels/cpu/split_product.hpp>

#if defined(PLANISH_HAS_AMX_BF16)
#include <planish/kernels/cpu/isa/code_tiles.hpp>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Memory for a panel of 32 columns of codes of so many terms, in floats.
[[nodiscard]] constexpr index code_tiles_size(index terms) noexcept { return split_packed_size(terms) / 2; }

/// c (m × n) = or += a · (the values of b), b: terms × n symmetric codes, at most split_chunk terms. The rows of c are
/// dense.
struct SplitCodeProduct {
  const float* strips;  // a by pack_split<true>, its terms times the scales of b, strip after strip
  QuantizedRowsView b;
  MatrixView<float> c;
  bool adds = false;
};

/// The rows of the strips [strips.begin, strips.end) of c in the columns of `panels`. Scratch: code_tiles_size of the
/// terms, on a cache line.
PLANISH_LAZY void multiply_split_codes_block(const SplitCodeProduct& m, Range strips, Range panels,
                                             std::span<float> scratch) noexcept {
  const isa::TileConfiguration configuration;
  const index terms = m.b.rows, size = split_packed_size(terms), steps = size / split_block_size;
  auto* const tiles = reinterpret_cast<std::uint32_t*>(scratch.data());
  alignas(64) float block[32 * 32];
  for (index panel = panels.begin; panel < panels.end; ++panel) {
    const index column = panel * panel_width, columns = std::min(panel_width, m.b.columns - column);
    for (index k = 0, step = 0; step < steps; ++step, k += split_block_terms)
      isa::pack_code_tiles(m.b.row(k) + column, m.b.stride, std::min(split_block_terms, terms - k), tiles + step * 512);
    for (index strip = strips.begin; strip < strips.end; ++strip) {
      const index row = strip * split_strip_rows, rows = std::min(split_strip_rows, m.c.rows() - row);
      float* const c = m.c.row(row) + column;
      const float* const a = m.strips + strip * size;
      if (rows == 32 && columns == 32) {
        isa::multiply_code_tiles(a, tiles, steps, m.adds, c, m.c.row_stride());
        continue;
      }
      for (index r = 0; m.adds && r < rows; ++r) std::copy_n(c + r * m.c.row_stride(), columns, block + r * 32);
      isa::multiply_code_tiles(a, tiles, steps, m.adds, block, 32);
      for (index r = 0; r < rows; ++r) std::copy_n(block + r * 32, columns, c + r * m.c.row_stride());
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
