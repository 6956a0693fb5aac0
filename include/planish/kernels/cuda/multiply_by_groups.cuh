#pragma once
// Integer products of weights with a scale per group of columns: every group's sums are exact, and a float sum takes
// them in, group by group in rising order, as docs/numbers.md writes it. That order is why columns are never split
// here: where tokens are few, warps share the channels of a unit instead.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/multiply_output.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of multiply_by_groups. Every warp has 16·Rows channels (Rows: 1 or 4) × 8·Tiles tokens; a block has
/// `Units` units of channels and `TokenWarps` times the tokens of a warp.
template <int StoredBits, int Units, int Rows, int TokenWarps, int Tiles, int Stages, int BlocksAtOnce>
struct MultiplyByGroup {
  static constexpr int stored_bits = StoredBits, channel_warps = Units, rows = Rows, tiles = Tiles;  // warps: of a unit
  static constexpr int stages = Stages, blocks_at_once = BlocksAtOnce;
  static constexpr int warps_of_channels = Units * unit_tiles / Rows;
  static constexpr int threads = warp_size * warps_of_channels * TokenWarps;
  static constexpr int tokens = 8 * Tiles * TokenWarps;
  static constexpr int warp_words = 0;  // columns are never split
  static constexpr int weight_bytes = Units * unit_bytes(StoredBits);
  static constexpr int stage_bytes = weight_bytes + tokens * unit_columns;
  static constexpr int shared_bytes = Stages * stage_bytes;
};

/// What a lane has of its outputs: exact sums of the group that its columns are in, and the float sum of those before.
template <class Tile>
struct GroupedOutputs {
  static constexpr int channels = 2 * Tile::rows;  // neighbours
  std::int32_t sums[Tile::rows][Tile::tiles][4], token_sums[Tile::tiles][4];
  float whole[Tile::rows][Tile::tiles][4];
  std::int32_t token_zeros[Tile::tiles][2];
  float scales[channels];  // of the group, asked for when it begins
  std::int64_t side;       // of the lane's first channel and the group
  int group, left;         // columns that are left of the group

  PLANISH_DEVICE void end_group(const MultiplyArguments& a) noexcept {
    constexpr int factor_bits = Tile::stored_bits == 4 ? 4 : 0;
    PLANISH_UNROLL
    for (int i = 0; i < channels; ++i) {
      const std::int32_t zero = a.w.zeros == nullptr ? 0 : a.w.zeros[side + i];
      const std::int32_t channel_sum = a.x.zero_points == nullptr ? 0 : a.w.sums[side + i];
      PLANISH_UNROLL
      for (int n = 0; n < Tile::tiles; ++n) PLANISH_UNROLL
      for (int b = 0; b < 2; ++b) {
        const int r = 2 * (i % 2) + b;
        const std::int32_t exact =
            without_zeros(sums[i / 2][n][r] >> factor_bits, token_sums[n][b], token_zeros[n][b], zero, channel_sum);
        whole[i / 2][n][r] = add_group(exact, scales[i], whole[i / 2][n][r]);
        sums[i / 2][n][r] = 0;
      }
    }
    PLANISH_UNROLL
    for (int n = 0; n < Tile::tiles; ++n) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) token_sums[n][r] = 0;
    if (++group < a.w.groups()) side += unit_channels;
    begin_group(a);
  }
  PLANISH_DEVICE void begin_group(const MultiplyArguments& a) noexcept {
    left = a.w.group_columns;
    PLANISH_UNROLL
    for (int i = 0; i < channels; ++i) scales[i] = a.w.scales[side + i];
  }
};

/// The products of one stage. `unit`: of shared memory; `first_tile`: of it; `tokens`: this warp's first.
template <class Tile>
PLANISH_DEVICE void multiply_grouped_stage(const MultiplyArguments& a, const unsigned char* unit, int first_tile,
                                           const unsigned char* tokens, int first, int columns,
                                           GroupedOutputs<Tile>& out) noexcept {
  const int lane = thread_index() % warp_size;
  constexpr std::uint32_t ones[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
  PLANISH_UNROLL
  for (int chunk = 0; chunk < unit_chunks; ++chunk) {
    std::uint32_t b[Tile::tiles][4];
    PLANISH_UNROLL
    for (int n = 0; n < Tile::tiles; ++n)
      load_rows(b[n], tokens + token_chunk_offset(first + lane % 8 + 8 * n, 4 * chunk + lane / 8));
    PLANISH_UNROLL
    for (int step = 0; step < 2; ++step) {
      if (chunk * chunk_columns + 32 * step >= columns) return;
      PLANISH_UNROLL
      for (int m = 0; m < Tile::rows; ++m) {
        std::uint32_t fragment[4];
        const int tile = first_tile + m;
        if constexpr (Tile::stored_bits == 4) {
          const Vector8 packed =
              *reinterpret_cast<const Vector8*>(unit + (chunk * unit_tiles + tile) * 512 + lane * 16 + step * 8);
          expand_nibbles(packed.words[0], fragment[0], fragment[1]);
          expand_nibbles(packed.words[1], fragment[2], fragment[3]);
        } else {
          const Vector16 bytes =
              *reinterpret_cast<const Vector16*>(unit + ((2 * chunk + step) * unit_tiles + tile) * 512 + lane * 16);
          PLANISH_UNROLL
          for (int r = 0; r < 4; ++r) fragment[r] = bytes.words[r];
        }
        PLANISH_UNROLL
        for (int n = 0; n < Tile::tiles; ++n)
          multiply_bytes(out.sums[m][n], fragment, b[n][2 * step], b[n][2 * step + 1]);
      }
      if (a.w.zeros != nullptr) {  // the sum of a token's codes: its product with ones
        PLANISH_UNROLL
        for (int n = 0; n < Tile::tiles; ++n)
          multiply_bytes(out.token_sums[n], ones, b[n][2 * step], b[n][2 * step + 1]);
      }
      out.left -= 32;
      if (out.left == 0) out.end_group(a);
    }
  }
}

/// Stores a warp's outputs. `channel`: the lane's first; `first`: token of column 0.
template <class Tile>
PLANISH_DEVICE void store_grouped(const GroupedOutputs<Tile>& out, const MultiplyArguments& a, ElementType type,
                                  int channel, int first) noexcept {
  constexpr int channels = 2 * Tile::rows;
  const int count = a.w.channels - channel;
  if (count <= 0) return;
  float biases[channels];
  PLANISH_UNROLL
  for (int i = 0; i < channels; ++i) biases[i] = a.bias == nullptr || i >= count ? 0.0f : a.bias[channel + i];
  PLANISH_UNROLL
  for (int n = 0; n < Tile::tiles; ++n) PLANISH_UNROLL
  for (int b = 0; b < 2; ++b) {
    int token = first + 8 * n + 2 * (thread_index() % 4) + b;
    settle(token);
    if (token >= static_cast<int>(a.x.rows)) continue;
    const float scale = a.x.scales[token];
    const std::int64_t at = token * a.y_stride + channel;
    float values[channels];
    PLANISH_UNROLL
    for (int i = 0; i < channels; ++i) {
      values[i] = rescale_groups(out.whole[i / 2][n][2 * (i % 2) + b], scale, biases[i]);
      if (a.residual != nullptr && i < count)
        values[i] += load_element(a.residual, type, token * a.residual_stride + channel + i);
      if (channels != 8 && i < count) store_element(a.y, type, at + i, values[i]);
    }
    if constexpr (channels == 8) store_eight(a.y, type, at, values, count);
  }
}

/// blocks = channel tiles × token tiles.
template <class Tile>
PLANISH_KERNEL(Tile::threads, Tile::blocks_at_once)
multiply_by_groups(MultiplyArguments a, ElementType type, int channel_tiles, int token_tiles, int /*splits*/) {
  const TilePlace place = tile_place(block_index(), channel_tiles, token_tiles);
  const int units = a.w.column_units(), lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const int first_tile = warp % Tile::warps_of_channels * Tile::rows;  // of 16 channels, of the block
  const int own_unit = place.channel_tile * Tile::channel_warps + first_tile / unit_tiles;
  const int first = warp / Tile::warps_of_channels * 8 * Tile::tiles,
            first_token = place.token_tile * Tile::tokens + first;
  unsigned char* ring = shared_memory();
  PLANISH_UNROLL
  for (int s = 0; s < Tile::stages - 1; ++s) {
    if (s < units) fetch_stage<Tile>(a, ring + s * Tile::stage_bytes, place.channel_tile, place.token_tile, s);
    commit_copies();
  }
  const bool exists = own_unit < a.w.channel_units();
  const int within = 8 * (lane / 4) + 2 * (first_tile % unit_tiles);  // the lane's first channel of the unit
  GroupedOutputs<Tile> out = {};
  out.side = std::int64_t{exists ? own_unit : 0} * a.w.groups() * unit_channels + within;
  out.begin_group(a);
  PLANISH_UNROLL
  for (int n = 0; n < Tile::tiles; ++n) PLANISH_UNROLL
  for (int b = 0; b < 2; ++b) {
    const int token = first_token + 8 * n + 2 * (lane % 4) + b;
    if (a.x.zero_points != nullptr && token < static_cast<int>(a.x.rows))
      out.token_zeros[n][b] = a.x.zero_points[token];
  }
  int stage = 0, free_stage = Tile::stages - 1;
  PLANISH_NO_UNROLL
  for (int unit = 0; unit < units; ++unit) {
    wait_copies<Tile::stages - 2>();
    block_barrier();  // this stage has come, and nobody still reads the one before
    if (unit + Tile::stages - 1 < units)
      fetch_stage<Tile>(a, ring + free_stage * Tile::stage_bytes, place.channel_tile, place.token_tile,
                        unit + Tile::stages - 1);
    commit_copies();
    const unsigned char* const weights = ring + stage * Tile::stage_bytes;
    multiply_grouped_stage<Tile>(a, weights + first_tile / unit_tiles * unit_bytes(Tile::stored_bits),
                                 first_tile % unit_tiles, weights + Tile::weight_bytes, first,
                                 a.w.columns - unit * unit_columns, out);
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Tile::stages ? 0 : free_stage + 1;
  }
  wait_copies<0>();
  if (out.left < a.w.group_columns) out.end_group(a);  // the last group is shorter
  store_grouped<Tile>(out, a, type, own_unit * unit_channels + within, first_token);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
