#pragma once
// Weight-only products by mma.sync for many tokens: weights and tokens pass through a ring of shared memory that is
// filled in the background, codes become 16-bit floats in registers, sums and scales are float. A block's warps share
// channels and tokens.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of weight_only_tiles. Every warp has 64 channels × 8·Tiles tokens.
template <class Element, int StoredBits, int ChannelWarps, int TokenWarps, int Tiles, int Stages, int BlocksAtOnce>
struct WeightOnlyTile {
  using E = Element;  // of x
  static constexpr int stored_bits = StoredBits, channel_warps = ChannelWarps, token_warps = TokenWarps;
  static constexpr int tiles = Tiles, stages = Stages, blocks_at_once = BlocksAtOnce;
  static constexpr int warp_words = cuda::warp_words(Tiles);     // of sums
  static constexpr int split_slots = ChannelWarps * TokenWarps;  // of a tile
  static constexpr int threads = warp_size * ChannelWarps * TokenWarps;
  static constexpr int tokens = 8 * Tiles * TokenWarps;
  static constexpr int split_columns = float_unit_columns;
  static constexpr int token_row_bytes = 2 * float_unit_columns;
  static constexpr int weight_bytes = ChannelWarps * float_unit_bytes(StoredBits);  // of a stage
  static constexpr int stage_bytes = weight_bytes + tokens * token_row_bytes;
  static constexpr int shared_bytes = Stages * stage_bytes;
};

/// Where a thread of a ring finds its 16-byte pieces of the stage that is fetched next: those of its warp's channels,
/// which the token warps share, and the same piece of rows some apart.
template <class Tile>
struct FloatTileFetcher {
  static constexpr int rows_on = Tile::threads / 8;
  const std::uint8_t* weights;
  const unsigned char* tokens;
  std::int64_t rows_on_bytes;
  int columns_left, rows_left, token_place;
  bool has_channels;

  PLANISH_DEVICE FloatTileFetcher(const WeightOnlyArguments& a, const TilePlace& place, int unit) noexcept {
    const int thread = thread_index(), channel_warp = thread / warp_size % Tile::channel_warps;
    const int channel_unit = place.channel_tile * Tile::channel_warps + channel_warp;
    const int token = place.token_tile * Tile::tokens + thread / 8, column = unit * float_unit_columns + thread % 8 * 8;
    has_channels = channel_unit < a.w.channel_units();
    weights = a.w.units +
              (std::int64_t{has_channels ? channel_unit : 0} * a.w.column_units() + unit) *
                  float_unit_bytes(Tile::stored_bits) +
              (thread / warp_size / Tile::channel_warps * warp_size + thread % warp_size) * 16;
    rows_left = a.rows - token;
    columns_left = a.w.columns - column;
    tokens = static_cast<const unsigned char*>(a.x) + 2 * (token * a.x_stride + column);
    rows_on_bytes = 2 * rows_on * a.x_stride;
    token_place = token_chunk_offset(thread / 8, thread % 8);  // rows_on is a multiple of 8: only rows change
  }

  /// `anywhere`: an address of 16 bytes that exist.
  PLANISH_DEVICE void fetch(unsigned char* stage, const void* anywhere) noexcept {
    const int thread = thread_index(), lane = thread % warp_size;
    const int token_warp = thread / warp_size / Tile::channel_warps;
    constexpr int pieces = float_unit_bytes(Tile::stored_bits) / 512;
    unsigned char* const to = stage + thread / warp_size % Tile::channel_warps * float_unit_bytes(Tile::stored_bits) +
                              (token_warp * warp_size + lane) * 16;
    PLANISH_UNROLL
    for (int i = 0; i < pieces; i += Tile::token_warps)
      if (pieces % Tile::token_warps == 0 || i + token_warp < pieces)
        copy_async_16(to + i * 512, weights + (has_channels ? i * 512 : 0), has_channels ? 16 : 0);
    weights += float_unit_bytes(Tile::stored_bits);
    const int bytes = columns_left <= 0 ? 0 : columns_left < 8 ? 2 * columns_left : 16;
    const unsigned char* from = tokens;
    PLANISH_UNROLL
    for (int i = 0; i < Tile::tokens / rows_on; ++i) {
      const bool exists = bytes > 0 && i * rows_on < rows_left;
      copy_async_16(stage + Tile::weight_bytes + token_place + i * rows_on * Tile::token_row_bytes,
                    exists ? from : anywhere, exists ? bytes : 0);
      from += rows_on_bytes;
    }
    tokens += Tile::token_row_bytes;
    columns_left -= float_unit_columns;
  }
};

/// What a warp has of its outputs: the group that it is in, its sums so far, and those of the groups before, scaled.
template <class Tile>
struct WarpOutputs {
  GroupSide<8> side;
  WarpFloats<Tile::tiles> part, whole;

  PLANISH_DEVICE void end_group() noexcept {
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) PLANISH_UNROLL
    for (int n = 0; n < Tile::tiles; ++n) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) {
      whole[m][n][r] = fused_multiply_add(part[m][n][r], side.scales[2 * m + r / 2], whole[m][n][r]);
      part[m][n][r] = 0.0f;
    }
  }
};

/// The products of one stage. `unit`: of channels; one that exists.
template <class Tile>
PLANISH_DEVICE void multiply_float_stage(const WeightOnlyArguments& a, const unsigned char* stage, int unit,
                                         WarpOutputs<Tile>& out) noexcept {
  using E = typename Tile::E;
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const unsigned char* weights = stage + warp % Tile::channel_warps * float_unit_bytes(Tile::stored_bits);
  const unsigned char* tokens = stage + Tile::weight_bytes;
  const int first = warp / Tile::channel_warps * 8 * Tile::tiles + lane % 8;
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    std::uint32_t b[Tile::tiles][4];
    PLANISH_UNROLL
    for (int n = 0; n < Tile::tiles; ++n)
      load_rows(b[n], tokens + token_chunk_offset(first + 8 * n, 4 * half + lane / 8));
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) {
      const auto packed = LaneWords<Tile::stored_bits>::load(weights, half, m);
      std::uint32_t fragment[4];
      expand_fragment<E, 0>(packed, out.side.zeros + 2 * m, fragment);
      PLANISH_UNROLL
      for (int n = 0; n < Tile::tiles; ++n) multiply_floats(E{}, out.part[m][n], fragment, b[n][0], b[n][1]);
      expand_fragment<E, 1>(packed, out.side.zeros + 2 * m, fragment);
      PLANISH_UNROLL
      for (int n = 0; n < Tile::tiles; ++n) multiply_floats(E{}, out.part[m][n], fragment, b[n][2], b[n][3]);
    }
    if (out.side.ends_after(32)) {
      out.end_group();
      out.side.next(a.w, unit, 8 * (lane / 4));
    }
  }
}

/// blocks = channel tiles × token tiles × splits, split slowest.
template <class Tile>
PLANISH_KERNEL(Tile::threads, Tile::blocks_at_once)
weight_only_tiles(WeightOnlyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits) {
  let_next_kernel_start();
  wait_for_kernel_before();
  const TilePlace place = tile_place(block_index(), channel_tiles, token_tiles);
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const int units = a.w.column_units();
  const int begin = static_cast<int>(std::int64_t{units} * place.split / splits);
  const int end = static_cast<int>(std::int64_t{units} * (place.split + 1) / splits);
  unsigned char* const memory = shared_memory();
  FloatTileFetcher<Tile> fetcher(a, place, begin);
  PLANISH_UNROLL
  for (int s = 0; s < Tile::stages - 1; ++s) {
    if (begin + s < end) fetcher.fetch(memory + s * Tile::stage_bytes, a.w.units);
    commit_copies();
  }
  const int own_unit = place.channel_tile * Tile::channel_warps + warp % Tile::channel_warps;
  const bool exists = own_unit < a.w.channel_units();
  const int unit = exists ? own_unit : 0;  // its scales stand in, and nothing is stored
  WarpOutputs<Tile> out = {};
  if (begin < end) out.side.begin(a.w, unit, 8 * (lane / 4), begin * float_unit_columns);
  int stage = 0, free_stage = Tile::stages - 1;
  PLANISH_NO_UNROLL
  for (int step = begin; step < end; ++step) {
    wait_copies<Tile::stages - 2>();
    block_barrier();  // this stage has come, and nobody still reads the one before
    if (step + Tile::stages - 1 < end) fetcher.fetch(memory + free_stage * Tile::stage_bytes, a.w.units);
    commit_copies();
    multiply_float_stage<Tile>(a, memory + stage * Tile::stage_bytes, unit, out);
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Tile::stages ? 0 : free_stage + 1;
  }
  if (begin < end) out.end_group();  // nothing, where a group has just ended
  wait_copies<0>();
  constexpr int warps = Tile::channel_warps * Tile::token_warps;
  const int slot = (place.channel_tile * token_tiles + place.token_tile) * warps + warp;
  if (!join_float_splits<unit_tiles * Tile::tiles * 4>(&out.whole[0][0][0], a.workspace, slot,
                                                       channel_tiles * token_tiles * warps, place.split, splits))
    return;
  store_floats<Tile::tiles>(out.whole, a, type, own_unit,
                            place.token_tile * Tile::tokens + warp / Tile::channel_warps * 8 * Tile::tiles);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
