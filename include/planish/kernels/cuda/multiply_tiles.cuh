#pragma once
// Integer products for many tokens: a block computes 64·ChannelWarps channels × 8·Tiles·TokenWarps tokens, its operands
// pass through a ring of shared memory that is filled in the background.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/multiply_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of multiply_tiles. Every warp has 64 channels × 8·tiles tokens.
template <int StoredBits, int ChannelWarps, int TokenWarps, int Tiles, int Stages, int BlocksAtOnce>
struct MultiplyTile {
  static constexpr int stored_bits = StoredBits, channel_warps = ChannelWarps, token_warps = TokenWarps, tiles = Tiles;
  static constexpr int stages = Stages, blocks_at_once = BlocksAtOnce;
  static constexpr int warp_words = cuda::warp_words(Tiles);  // of sums
  static constexpr int threads = warp_size * ChannelWarps * TokenWarps;
  static constexpr int tokens = 8 * Tiles * TokenWarps;
  static constexpr int weight_bytes = ChannelWarps * unit_bytes(StoredBits);  // of a stage
  static constexpr int stage_bytes = weight_bytes + tokens * unit_columns;
  static constexpr int shared_bytes = Stages * stage_bytes;
};

/// Which outputs and columns a block has. Blocks that run at the same time share channels and tokens: tokens are
/// walked in groups of 8 tiles.
struct TilePlace {
  int channel_tile, token_tile, split;
};
[[nodiscard]] PLANISH_HOST_DEVICE constexpr TilePlace tile_place(int block, int channel_tiles,
                                                                 int token_tiles) noexcept {
  constexpr int group = 8;
  const int tile = block % (channel_tiles * token_tiles);
  const int first = tile / (group * channel_tiles) * group;
  const int height = token_tiles - first < group ? token_tiles - first : group;
  const int within = tile - first * channel_tiles;
  return {within / height, first + within % height, block / (channel_tiles * token_tiles)};
}

/// Where 16 bytes of a token's 128 columns lie in shared memory: the same piece of eight neighbouring tokens fills all
/// banks.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int token_chunk_offset(int token, int chunk) noexcept {
  return token * unit_columns + (chunk ^ token % 8) * 16;
}

/// One stage of the ring: column unit `unit` of the block's weights and tokens.
template <class Tile>
PLANISH_DEVICE void fetch_stage(const MultiplyArguments& a, unsigned char* stage, int channel_tile, int token_tile,
                                int unit) noexcept {
  constexpr int weight_vectors = unit_bytes(Tile::stored_bits) / 16;
  const int column_units = a.w.column_units(), channel_units = a.w.channel_units();
  PLANISH_UNROLL
  for (int i = thread_index(); i < Tile::channel_warps * weight_vectors; i += Tile::threads) {
    const int channel_unit = channel_tile * Tile::channel_warps + i / weight_vectors;
    const bool exists = channel_unit < channel_units;
    const std::int64_t from = std::int64_t{exists ? channel_unit : 0} * column_units + unit;
    copy_async_16(stage + i * 16, a.w.units + from * unit_bytes(Tile::stored_bits) + i % weight_vectors * 16,
                  exists ? 16 : 0);
  }
  unsigned char* tokens = stage + Tile::weight_bytes;
  PLANISH_UNROLL
  for (int i = thread_index(); i < Tile::tokens * 8; i += Tile::threads) {
    const int token = token_tile * Tile::tokens + i / 8, column = unit * unit_columns + i % 8 * 16;
    const bool exists = token < static_cast<int>(a.x.rows) && column < a.w.columns;
    const std::int8_t* from = a.x.codes + (exists ? token * std::int64_t{a.x.stride} + column : 0);
    copy_async_16(tokens + token_chunk_offset(i / 8, i % 8), from, exists ? 16 : 0);
  }
}

/// The products of one stage.
template <class Tile>
PLANISH_DEVICE void multiply_stage(const unsigned char* stage, WarpSums<Tile::tiles>& sums) noexcept {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const unsigned char* weights = stage + warp % Tile::channel_warps * unit_bytes(Tile::stored_bits) + lane * 16;
  const unsigned char* tokens = stage + Tile::weight_bytes;
  const int first = warp / Tile::channel_warps * 8 * Tile::tiles + lane % 8;
  PLANISH_UNROLL
  for (int chunk = 0; chunk < unit_chunks; ++chunk) {
    std::uint32_t b[Tile::tiles][4];
    PLANISH_UNROLL
    for (int n = 0; n < Tile::tiles; ++n)
      load_rows(b[n], tokens + token_chunk_offset(first + 8 * n, 4 * chunk + lane / 8));
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) {
      Vector16 packed;
      if constexpr (Tile::stored_bits == 4)
        packed = *reinterpret_cast<const Vector16*>(weights + (chunk * unit_tiles + m) * 512);
      PLANISH_UNROLL
      for (int step = 0; step < 2; ++step) {
        std::uint32_t fragment[4];
        if constexpr (Tile::stored_bits == 4) {
          expand_nibbles(packed.words[2 * step], fragment[0], fragment[1]);
          expand_nibbles(packed.words[2 * step + 1], fragment[2], fragment[3]);
        } else {
          const Vector16 bytes =
              *reinterpret_cast<const Vector16*>(weights + ((2 * chunk + step) * unit_tiles + m) * 512);
          PLANISH_UNROLL
          for (int r = 0; r < 4; ++r) fragment[r] = bytes.words[r];
        }
        PLANISH_UNROLL
        for (int n = 0; n < Tile::tiles; ++n) multiply_bytes(sums[m][n], fragment, b[n][2 * step], b[n][2 * step + 1]);
      }
    }
  }
}

/// blocks = channel tiles × token tiles × splits, split slowest.
template <class Tile>
PLANISH_KERNEL(Tile::threads, Tile::blocks_at_once)
multiply_tiles(MultiplyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits) {
  const TilePlace place = tile_place(block_index(), channel_tiles, token_tiles);
  const int units = a.w.column_units();
  const int begin = static_cast<int>(std::int64_t{units} * place.split / splits);
  const int end = static_cast<int>(std::int64_t{units} * (place.split + 1) / splits);
  unsigned char* ring = shared_memory();
  PLANISH_UNROLL
  for (int s = 0; s < Tile::stages - 1; ++s) {
    if (begin + s < end)
      fetch_stage<Tile>(a, ring + s * Tile::stage_bytes, place.channel_tile, place.token_tile, begin + s);
    commit_copies();
  }
  WarpSums<Tile::tiles> sums = {};
  int stage = 0, free_stage = Tile::stages - 1;
  PLANISH_NO_UNROLL
  for (int unit = begin; unit < end; ++unit) {
    wait_copies<Tile::stages - 2>();
    block_barrier();  // this stage has come, and nobody still reads the one before
    if (unit + Tile::stages - 1 < end)
      fetch_stage<Tile>(a, ring + free_stage * Tile::stage_bytes, place.channel_tile, place.token_tile,
                        unit + Tile::stages - 1);
    commit_copies();
    multiply_stage<Tile>(ring + stage * Tile::stage_bytes, sums);
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Tile::stages ? 0 : free_stage + 1;
  }
  wait_copies<0>();
  const int warp = thread_index() / warp_size;
  const int unit = place.channel_tile * Tile::channel_warps + warp % Tile::channel_warps;
  const int slots = channel_tiles * token_tiles * Tile::channel_warps * Tile::token_warps;
  const int slot =
      (place.channel_tile * token_tiles + place.token_tile) * Tile::channel_warps * Tile::token_warps + warp;
  if (!join_splits<unit_tiles * Tile::tiles * 4>(&sums[0][0][0], a.workspace, slot, slots, splits)) return;
  store_sums<Tile::tiles>(sums, a, type, unit,
                          place.token_tile * Tile::tokens + warp / Tile::channel_warps * 8 * Tile::tiles,
                          Tile::stored_bits == 4 ? 4 : 0);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
