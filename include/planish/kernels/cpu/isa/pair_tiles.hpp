#pragma once
// Terms of bfloat16 in matrix tiles, and the products of such tiles.
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>

#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && \
    (defined(__AMX_BF16__) || defined(__AMXBF16__))  // clang < 16
#define PLANISH_HAS_AMX_BF16 1
#include <cstdint>
#include <immintrin.h>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>
#include <planish/packing/bfloat16_factors.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// While it lives, tiles 0 to 3, of sums, and 4, of left operands, have `height` lines, 5 to 7, of right ones, 16.
class PairTileConfiguration {
 public:
  explicit PairTileConfiguration(index height) noexcept {
    struct alignas(64) Shape {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {};
    } shape;
    for (int tile = 0; tile < 8; ++tile) shape.rows[tile] = tile < 5 ? static_cast<std::uint8_t>(height) : 16;
    asm volatile("" : "+m"(shape));  // the intrinsic says that it reads eight bytes
    _tile_loadconfig(&shape);
  }
  PairTileConfiguration(const PairTileConfiguration&) = delete;
  PairTileConfiguration& operator=(const PairTileConfiguration&) = delete;
  ~PairTileConfiguration() { _tile_release(); }
};

/// 32 floats as terms, in order: bfloat16_term of each.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m512i terms_of(__m512 low, __m512 high) noexcept {
  const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh(high, low);
  constexpr short least = static_cast<short>((127 - 56) << 8);  // of magnitudes, as the bits behind the sign
  const __mmask32 keeps = _mm512_cmpge_epu16_mask(_mm512_add_epi16(rounded, rounded), _mm512_set1_epi16(least));
  return _mm512_maskz_mov_epi16(keeps, rounded);
}

/// The same of two rows of 16 columns, column by column.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m512i pairs_of(__m512 even, __m512 odd) noexcept {
  alignas(64) static constexpr auto order = [] {
    struct Words {
      std::uint16_t at[32];
    } words{};
    for (int i = 0; i < 32; ++i) words.at[i] = static_cast<std::uint16_t>(i / 2 + i % 2 * 16);
    return words;
  }();
  return _mm512_permutexvar_epi16(_mm512_load_si512(&order), terms_of(even, odd));
}

/// The first `count` lanes, 0 to 16 of them.
[[nodiscard]] PLANISH_ALWAYS_INLINE __mmask16 some_lanes(index count) noexcept {
  return static_cast<__mmask16>((1u << (count < 0 ? 0 : count > 16 ? 16 : count)) - 1u);
}

/// `rows` dense rows of n floats as lines of terms: block after block of 32 columns, `height` lines to a block.
inline void store_terms(const float* x, index rows, index n, PairLine* to, index height) noexcept {
  constexpr index ahead = 8192;  // floats, of what comes later
  index column = 0;
  for (; column + 32 <= n; column += 32, to += height) {
    const float* from = x + column;
    for (index i = 0; i < rows; ++i, from += n) {
      _mm_prefetch(reinterpret_cast<const char*>(from + ahead), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(from + ahead + 16), _MM_HINT_T1);
      _mm512_store_si512(to + i, terms_of(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16)));
    }
  }
  if (column == n) return;
  const __mmask16 low = some_lanes(n - column), high = some_lanes(n - column - 16);
  const float* from = x + column;
  for (index i = 0; i < rows; ++i, from += n)
    _mm512_store_si512(to + i, terms_of(_mm512_maskz_loadu_ps(low, from), _mm512_maskz_loadu_ps(high, from + 16)));
}

/// `rows` rows of `columns` floats, `stride` apart, as lines of pairs: of each two rows a line for every 16 columns,
/// 16 lines apart. An odd last row is paired with zeros.
inline void store_pairs(const float* x, index rows, index stride, index columns, PairLine* to) noexcept {
  for (index column = 0; column < columns; column += 16, to += 16) {
    const __mmask16 some = some_lanes(columns - column);
    const float* from = x + column;
    index i = 0;
    for (; i + 2 <= rows; i += 2, from += 2 * stride)
      _mm512_store_si512(to + i / 2,
                         pairs_of(_mm512_maskz_loadu_ps(some, from), _mm512_maskz_loadu_ps(some, from + stride)));
    if (i < rows) _mm512_store_si512(to + i / 2, pairs_of(_mm512_maskz_loadu_ps(some, from), _mm512_setzero_ps()));
  }
}

/// A row tile of a left operand times a right operand, to `height` rows of sums.
struct PairProduct {
  const PairLine* a;  // block by block, `height` lines to each
  const PairLine* b;  // block by block, each 16 lines for every column tile
  index blocks;
  index column_tiles;
  float* c;
  index c_row_stride;  // floats
};

/// Products of tiles one after the other. Sums stay in tiles until these are needed again: a tile that is stored as
/// soon as it is filled would keep all others waiting.
class PairTileQueue {
 public:
  explicit PairTileQueue(index height) noexcept : configuration_(height), height_(height) {}

  /// Column tiles in falling order: where a tile reaches beyond the last column, that is, into the next row, its left
  /// neighbour overwrites that later. Row tiles have to come in rising order for the same reason. What is multiplied by
  /// turns can take `other` tiles of sums. Tiles 0 and 1 have one row stride, 2 and 3 another: one column tile behind
  /// more of another stride would store what waits at the wrong place, so call finish() between them.
  PLANISH_ALWAYS_INLINE void multiply(const PairProduct& m, bool other = false) noexcept {
    index column = m.column_tiles;
    if (column <= 2) {
      if (other)
        column == 2 ? sum<2, 2>(m, 0) : sum<2, 1>(m, 0);
      else
        column == 2 ? sum<0, 2>(m, 0) : sum<0, 1>(m, 0);
      return;
    }
    for (index groups = (column + 3) / 4; groups > 0; --groups) {
      const index here = divide_up(column, groups);
      column -= here;
      if (here == 4)
        sum<0, 4>(m, column);
      else if (here == 3)
        sum<0, 3>(m, column);
      else
        sum<0, 2>(m, column);
    }
  }

  /// Stores what still lies in tiles.
  PLANISH_ALWAYS_INLINE void finish() noexcept {
    store<0>();
    store<1>();
    store<2>();
    store<3>();
    tiles_read_memory();
  }

 private:
  template <int First, int Columns>
  PLANISH_ALWAYS_INLINE void sum(const PairProduct& m, index column) noexcept {
    const PairLine *a = m.a, *b = m.b + column * 16;
    tiles_read_memory();
    for (index i = 0; i < m.blocks; ++i, a += height_, b += m.column_tiles * 16) {
      _tile_loadd(4, a, 64);
      add<First, Columns - 1>(b, i == 0);
      if constexpr (Columns > 1) add<First + 1, Columns - 2>(b, i == 0);
      if constexpr (Columns > 2) add<First + 2, Columns - 3>(b, i == 0);
      if constexpr (Columns > 3) add<First + 3, Columns - 4>(b, i == 0);
    }
    float* const to = m.c + column * 16;
    row_bytes_[First / 2] = static_cast<std::size_t>(m.c_row_stride) * sizeof(float);
    row_bytes_[(First + Columns - 1) / 2] = row_bytes_[First / 2];
    for (int i = 0; i < Columns; ++i) to_[First + i] = to + (Columns - 1 - i) * 16;
  }

  /// Tile `Sum` += tile 4 times tile `Column` of b. Tiles are named by literals, or the assembler does not know them.
  template <int Sum, int Column>
  PLANISH_ALWAYS_INLINE void add(const PairLine* b, bool first) noexcept {
    if constexpr (Sum == 0) {
      _tile_loadd(5, b + Column * 16, 64);
      if (first) {
        store<0>();
        _tile_zero(0);
      }
      _tile_dpbf16ps(0, 4, 5);
    } else if constexpr (Sum == 1) {
      _tile_loadd(6, b + Column * 16, 64);
      if (first) {
        store<1>();
        _tile_zero(1);
      }
      _tile_dpbf16ps(1, 4, 6);
    } else if constexpr (Sum == 2) {
      _tile_loadd(7, b + Column * 16, 64);
      if (first) {
        store<2>();
        _tile_zero(2);
      }
      _tile_dpbf16ps(2, 4, 7);
    } else {
      _tile_loadd(5, b + Column * 16, 64);
      if (first) {
        store<3>();
        _tile_zero(3);
      }
      _tile_dpbf16ps(3, 4, 5);
    }
  }

  template <int Sum>
  PLANISH_ALWAYS_INLINE void store() noexcept {
    if (to_[Sum] == nullptr) return;
    if constexpr (Sum == 0) _tile_stored(0, to_[0], row_bytes_[0]);
    if constexpr (Sum == 1) _tile_stored(1, to_[1], row_bytes_[0]);
    if constexpr (Sum == 2) _tile_stored(2, to_[2], row_bytes_[1]);
    if constexpr (Sum == 3) _tile_stored(3, to_[3], row_bytes_[1]);
    to_[Sum] = nullptr;
  }

  PairTileConfiguration configuration_;
  index height_;
  float* to_[4] = {};              // where sums that still lie in tiles go
  std::size_t row_bytes_[2] = {};  // of tiles 0 and 1, and 2 and 3
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
