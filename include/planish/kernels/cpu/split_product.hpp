#pragma once
// Products of floats by matrix tiles of AMX-BF16: every operand is the sum of two bfloat16 numbers, its rounding and
// what that left, 16 bits of significand together, and a product is the sum of three: high · high, high · low and low ·
// high, added in float32 over rising terms. What is lost of a term is below 2⁻¹⁶ of it.
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>

#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && \
    (defined(__AMX_BF16__) || defined(__AMXBF16__))  // clang < 16
#define PLANISH_HAS_AMX_BF16 1

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>
#include <planish/kernels/cpu/isa/split_tiles.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

inline constexpr index split_strip_rows = 32, split_block_terms = 32;  // of a register block, of one step of it
inline constexpr index split_block_size = 32 * 32;                     // of a packed block, in floats
inline constexpr index split_chunk = 576;  // terms of a run; 16 strips of it stay in the second cache

/// Elements of memory for a strip or a panel of `terms` terms.
[[nodiscard]] constexpr index split_packed_size(index terms) noexcept {
  return divide_up(terms, split_block_terms) * split_block_size;
}

/// 32 rows of a (rows × terms; its rows or columns are dense) from row `first` on, each block of 32 terms as four
/// tiles; rows and terms behind the last are zeros. As left operand a tile has a row for each row of a, and the low
/// halves come first; as right operand it has one for each pair of terms, and the high halves do. Terms are multiplied
/// by their `factors`, if there are any.
template <bool Left>
void pack_split(MatrixView<const float> a, index first, float* to, const float* factors = nullptr) noexcept {
  const index rows = std::min(split_strip_rows, a.rows() - first);
  for (index k = 0; k < a.columns(); k += split_block_terms, to += split_block_size) {
    const index terms = std::min(split_block_terms, a.columns() - k);
    for (index half = 0; half < 2; ++half) {
      const index here = std::clamp<index>(rows - 16 * half, 0, 16);
      const float* const from = a.data() + (first + std::min(16 * half, rows)) * a.row_stride() + k * a.column_stride();
      std::uint32_t* const tile = reinterpret_cast<std::uint32_t*>(to) + half * 256;
      std::uint32_t *const high = tile + (Left ? 512 : 0), *const low = tile + (Left ? 0 : 512);
      const float* const some = factors == nullptr ? nullptr : factors + k;
      if (a.has_dense_rows())
        isa::split_rows<!Left>(from, a.row_stride(), here, terms, high, low, some);
      else
        isa::split_columns<Left>(from, a.column_stride(), here, terms, high, low, some);
    }
  }
}

/// c (m × n) = or += a · bᵀ over at most split_chunk terms. The rows or the columns of b are dense; the rows of c are.
struct SplitProduct {
  const float* strips;        // a by pack_split<true>, strip after strip
  MatrixView<const float> b;  // n × terms
  MatrixView<float> c;
  bool adds = false;
};

/// The rows of the strips [strips.begin, strips.end) of c in the channels of `panels`. Scratch: split_packed_size of
/// the terms.
inline void multiply_split_block(const SplitProduct& m, Range strips, Range panels, std::span<float> scratch) noexcept {
  const isa::TileConfiguration configuration;
  const index size = split_packed_size(m.b.columns()), steps = size / split_block_size;
  alignas(64) float block[32 * 32];
  for (index panel = panels.begin; panel < panels.end; ++panel) {
    const index column = panel * panel_width, columns = std::min(panel_width, m.b.rows() - column);
    pack_split<false>(m.b, column, scratch.data());
    for (index strip = strips.begin; strip < strips.end; ++strip) {
      const index row = strip * split_strip_rows, rows = std::min(split_strip_rows, m.c.rows() - row);
      float* const c = m.c.row(row) + column;
      const float* const a = m.strips + strip * size;
      if (rows == 32 && columns == 32) {
        isa::multiply_split_tiles(a, scratch.data(), steps, m.adds, c, m.c.row_stride());
        continue;
      }
      for (index r = 0; m.adds && r < rows; ++r) std::copy_n(c + r * m.c.row_stride(), columns, block + r * 32);
      isa::multiply_split_tiles(a, scratch.data(), steps, m.adds, block, 32);
      for (index r = 0; r < rows; ++r) std::copy_n(block + r * 32, columns, c + r * m.c.row_stride());
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
