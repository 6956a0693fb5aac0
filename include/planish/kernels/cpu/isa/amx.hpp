#pragma once
// Matrix tiles of AMX-INT8. A B tile is 16 rows of 16 channels × 4 columns, which is 16 half lines of a panel of bytes
// as it lies in memory; an A tile is 64 columns of 16 rows of activations as they lie. Tdpbsud multiplies signed
// activations by unsigned weights and adds to int32 without saturating, so sums equal those of every other path.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AMX_INT8)
#include <cstdint>
#include <immintrin.h>

#include <planish/core/index.hpp>
#include <planish/packing/panels.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

inline constexpr index tile_height = 16;               // rows of activations of a tile
inline constexpr index tile_depth_columns = 64;        // columns that one step of a product takes
inline constexpr index step_lines = 16;                // the same in lines of a panel
inline constexpr index step_bytes = 16 * 128;          // of the two B tiles of a step: 64 columns × 32 channels
inline constexpr index pair_height = 2 * tile_height;  // rows of a register block

/// While it lives, this thread's eight tiles have 16 rows of 64 bytes. Afterwards the thread has no tiles configured,
/// so that switching threads saves none.
class TileConfiguration {
 public:
  TileConfiguration() noexcept {
    struct alignas(64) Shape {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static constexpr Shape shape;
    _tile_loadconfig(&shape);
  }
  TileConfiguration(const TileConfiguration&) = delete;
  TileConfiguration& operator=(const TileConfiguration&) = delete;
  ~TileConfiguration() { _tile_release(); }
};

/// Keeps the compiler from moving accesses to memory across it: the intrinsics do not say what tiles read.
PLANISH_ALWAYS_INLINE void tiles_read_memory() noexcept { asm volatile("" ::: "memory"); }

/// How the two B tiles of a step lie: bytes from row to row, and from the first to the second.
template <CodeStorage Storage>
inline constexpr index tile_row_bytes = Storage == CodeStorage::nibble ? 64 : 128;
template <CodeStorage Storage>
inline constexpr index second_tile_offset = Storage == CodeStorage::nibble ? 1024 : 64;

/// Sums of 16 · RowTiles rows × 32 channels over `steps` ≥ 1 steps: row r to sums[r], on top of earlier[r] where that
/// is not null. Rows 0 to 15 are read from `upper` on, rows 16 to 31 from `lower` on. `weights`: as bytes, a panel's
/// own lines; as nibbles, what expand_line made of them. `between(step)` runs once per step, in the shadow of its
/// products.
///
/// Activations are read once and pass by the first-level cache (tileloaddt1), which keeps the weights: 20 steps of them
/// fit. Each tile is loaded as soon as its last product was issued. A tile store is slow (measured: 1100 cycles) if the
/// last one was some 2000 cycles ago, which is another reason to keep blocks short.
template <int RowTiles, CodeStorage Storage, class Between>
PLANISH_ALWAYS_INLINE void multiply_tiles(const std::int8_t* upper, const std::int8_t* lower, index stride,
                                          const std::uint8_t* weights, index steps, const std::int32_t* earlier,
                                          std::int32_t* sums, Between&& between) noexcept {
  constexpr index row = tile_row_bytes<Storage>, second = second_tile_offset<Storage>;
  constexpr index sums_row = panel_width * static_cast<index>(sizeof(std::int32_t));
  tiles_read_memory();
  if (earlier == nullptr) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (RowTiles == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
  } else {
    _tile_stream_loadd(0, earlier, sums_row);
    _tile_stream_loadd(1, earlier + 16, sums_row);
    if constexpr (RowTiles == 2) {
      _tile_stream_loadd(2, earlier + 16 * panel_width, sums_row);
      _tile_stream_loadd(3, earlier + 16 * panel_width + 16, sums_row);
    }
  }
  _tile_stream_loadd(4, upper, stride);
  _tile_loadd(6, weights, row);
  _tile_loadd(7, weights + second, row);
  if constexpr (RowTiles == 2) _tile_stream_loadd(5, lower, stride);
  for (index step = 0; step + 1 < steps; ++step) {
    upper += tile_depth_columns;
    lower += tile_depth_columns;
    weights += step_bytes;
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_stream_loadd(4, upper, stride);
    if constexpr (RowTiles == 2) _tile_dpbsud(2, 5, 6);
    _tile_loadd(6, weights, row);
    if constexpr (RowTiles == 2) {
      _tile_dpbsud(3, 5, 7);
      _tile_stream_loadd(5, lower, stride);
    }
    _tile_loadd(7, weights + second, row);
    between(step);
  }
  _tile_dpbsud(0, 4, 6);
  _tile_dpbsud(1, 4, 7);
  if constexpr (RowTiles == 2) {
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  between(steps - 1);
  _tile_stored(0, sums, sums_row);
  _tile_stored(1, sums + 16, sums_row);
  if constexpr (RowTiles == 2) {
    _tile_stored(2, sums + 16 * panel_width, sums_row);
    _tile_stored(3, sums + 16 * panel_width + 16, sums_row);
  }
  tiles_read_memory();
}

/// A line of nibbles, a code to a byte, as one row of each of the two B tiles of its step.
PLANISH_ALWAYS_INLINE void expand_line(const std::uint8_t* line, std::uint8_t* row) noexcept {
  const __m512i both = _mm512_loadu_si512(line), mask = _mm512_set1_epi8(15);
  _mm512_storeu_si512(row, _mm512_and_si512(both, mask));
  _mm512_storeu_si512(row + second_tile_offset<CodeStorage::nibble>,
                      _mm512_and_si512(_mm512_maskz_srli_epi16(0xffffffff, both, 4), mask));
}

/// A line of bytes, which is one row of both tiles already.
PLANISH_ALWAYS_INLINE void copy_line(const std::uint8_t* line, std::uint8_t* row) noexcept {
  _mm512_storeu_si512(row, _mm512_loadu_si512(line));
  _mm512_storeu_si512(row + 64, _mm512_loadu_si512(line + 64));
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
