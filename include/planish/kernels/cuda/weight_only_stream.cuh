#pragma once
// Weight-only products for a few tokens: every warp of a block has a ring of its own in shared memory, which it fills
// in the background and empties without waiting for the others; the warps take turns at the columns of the block's
// channels and meet once, at the end.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/stream_output.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of weight_only_stream: 64·ChannelUnits channels × 8·Tiles tokens. A stage of a warp has one unit of
/// columns: weights, tokens, and, where there are several scales per channel, those of its two halves.
template <class Element, int StoredBits, int ChannelUnits, int Tiles, int Warps, int Stages, int BlocksAtOnce,
          bool Grouped>
struct WeightOnlyStream {
  using E = Element;  // of x
  static constexpr int stored_bits = StoredBits, channel_warps = ChannelUnits, tiles = Tiles, warps = Warps;
  static constexpr int stages = Stages, blocks_at_once = BlocksAtOnce;
  static constexpr bool grouped = Grouped;
  static constexpr int threads = warp_size * Warps, tokens = 8 * Tiles;
  static constexpr int split_columns = Warps * float_unit_columns;
  static constexpr int unit_bytes = float_unit_bytes(StoredBits);
  static constexpr int weight_bytes = ChannelUnits * unit_bytes;
  static constexpr int token_bytes = tokens * 2 * float_unit_columns;
  static constexpr int half_scale_bytes = 4 * unit_channels;                      // of 32 columns
  static constexpr int unit_side_bytes = 2 * (half_scale_bytes + unit_channels);  // scales, then zero points
  static constexpr int side_bytes = Grouped ? ChannelUnits * unit_side_bytes : 0;
  static constexpr int stage_bytes = weight_bytes + token_bytes + side_bytes;
  static constexpr int ring_bytes = Stages * stage_bytes;
  static constexpr int quads = ChannelUnits * Tiles * 4;  // of a lane's sums: four channels of a token
  static constexpr int items = quads * warp_size;
  static constexpr int meeting_bytes = Warps * items * 16;
  static constexpr int shared_bytes = Warps * (ring_bytes > meeting_bytes / Warps ? ring_bytes : meeting_bytes / Warps);
};

/// Where a lane finds its 16-byte pieces of its warp's stages.
template <class S>
struct StreamFetcher {
  const WeightOnlyArguments& a;
  int lane, first_unit, channels_left, rows_left, full_units, token_place;
  std::int64_t next_channels, four_rows;
  const std::uint8_t* weights;  // of the first unit of channels and of columns
  const unsigned char* tokens;
  float groups_per_half;

  PLANISH_DEVICE StreamFetcher(const WeightOnlyArguments& of, int channel_tile, int token_tile) noexcept
      : a(of), lane(thread_index() % warp_size), first_unit(channel_tile * S::channel_warps) {
    channels_left = a.w.channel_units() - first_unit;
    next_channels = std::int64_t{a.w.column_units()} * S::unit_bytes;
    weights = a.w.units + first_unit * next_channels + lane * 16;
    const int token = token_tile * S::tokens + lane / 8;
    rows_left = a.rows - token;
    full_units = a.w.columns / float_unit_columns;
    tokens = static_cast<const unsigned char*>(a.x) + 2 * (token * a.x_stride + lane % 8 * 8);
    four_rows = 8 * a.x_stride;
    token_place = S::weight_bytes + token_chunk_offset(lane / 8, lane % 8);
    groups_per_half = S::grouped ? 32.0f / static_cast<float>(a.w.group_columns) : 0.0f;
  }

  /// The group of a column that is a multiple of 32. Exact: a quotient is a 2⁻²⁰th at least from the next integer.
  PLANISH_DEVICE int group_of(int column) const noexcept {
    return static_cast<int>((static_cast<float>(column / 32) + 0.5f) * groups_per_half);
  }

  /// The weights of unit `unit` of columns.
  PLANISH_DEVICE void fetch_weights(unsigned char* stage, int unit) const noexcept {
    const std::uint8_t* from = weights + std::int64_t{unit} * S::unit_bytes;
    PLANISH_UNROLL
    for (int u = 0; u < S::channel_warps; ++u) {
      PLANISH_UNROLL
      for (int i = 0; i < S::unit_bytes / 512; ++i)
        copy_async_16(stage + u * S::unit_bytes + i * 512 + lane * 16, from + i * 512, 16);
      if (u + 1 < channels_left) from += next_channels;  // else the last once more: its outputs are nobody's
    }
    if constexpr (S::grouped) fetch_side(stage, unit);
  }
  /// Its tokens. Those that do not exist stay what they were: their outputs are nobody's.
  PLANISH_DEVICE void fetch_tokens(unsigned char* stage, int unit) const noexcept {
    const unsigned char* const row = tokens + std::int64_t{unit} * (2 * float_unit_columns);
    if (unit < full_units) {
      PLANISH_UNROLL
      for (int i = 0; i < S::tokens / 4; ++i)
        if (4 * i < rows_left) copy_async_16(four_tokens(stage, i), row + i * four_rows, 16);
    } else {
      const int left = a.w.columns - unit * float_unit_columns - lane % 8 * 8;
      const int bytes = left <= 0 ? 0 : left < 8 ? 2 * left : 16;
      PLANISH_NO_UNROLL
      for (int i = 0; i < S::tokens / 4; ++i)
        if (4 * i < rows_left) copy_async_16(four_tokens(stage, i), bytes > 0 ? row + i * four_rows : a.x, bytes);
    }
  }

 private:
  /// Where the lane's piece of tokens 4 i … 4 i + 3 of the stage lies.
  PLANISH_DEVICE unsigned char* four_tokens(unsigned char* stage, int i) const noexcept {
    return stage + i * 512 + (token_place ^ i % 2 * 64);
  }
  /// The scales and zero points of both halves of a unit of columns.
  PLANISH_DEVICE void fetch_side(unsigned char* stage, int unit) const noexcept {
    int column = unit * float_unit_columns + lane / 16 * 32;
    if (column >= a.w.columns) column -= 32;
    unsigned char* to = stage + S::weight_bytes + S::token_bytes;
    PLANISH_UNROLL
    for (int u = 0; u < S::channel_warps; ++u) {
      const int channel_unit = first_unit + (u < channels_left ? u : 0);
      const std::int64_t at = (std::int64_t{channel_unit} * a.w.groups() + group_of(column)) * unit_channels;
      copy_async_16(to + lane * 16, a.w.scales + at + lane % 16 * 4, 16);
      if (a.w.zeros != nullptr && lane % 16 < unit_channels / 16)
        copy_async_16(to + 2 * S::half_scale_bytes + lane / 16 * unit_channels + lane % 16 * 16,
                      a.w.zeros + at + lane % 16 * 16, 16);
      to += S::unit_side_bytes;
    }
  }
};

/// What a warp has of its outputs, and its zero points as pairs. Without groups `part` is all of the sums.
template <class S>
struct StreamSums {
  WarpFloats<S::tiles> part[S::channel_warps], whole[S::grouped ? S::channel_warps : 1];
  std::uint32_t zeros[S::channel_warps][8];

  PLANISH_DEVICE void set_zeros(int u, const Vector8& bytes) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) zeros[u][i] = (bytes.words[i / 4] >> (8 * (i % 4)) & 255u) * 0x10001u;
  }
  /// `scales`: of the lane's eight channels of the first unit, in shared memory.
  PLANISH_DEVICE void end_group(const unsigned char* scales) noexcept {
    PLANISH_UNROLL
    for (int u = 0; u < S::channel_warps; ++u) {
      const auto* const own = reinterpret_cast<const Vector16*>(scales + u * S::unit_side_bytes);
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h) {
        const Vector16 four = own[h];
        PLANISH_UNROLL
        for (int m = 2 * h; m < 2 * h + 2; ++m) PLANISH_UNROLL
        for (int n = 0; n < S::tiles; ++n) PLANISH_UNROLL
        for (int r = 0; r < 4; ++r) {
          whole[u][m][n][r] =
              fused_multiply_add(part[u][m][n][r], float_of(four.words[2 * (m % 2) + r / 2]), whole[u][m][n][r]);
          part[u][m][n][r] = 0.0f;
        }
      }
    }
  }
};

/// The products of one stage, unit `unit` of columns.
template <class S>
PLANISH_DEVICE void multiply_stream_stage(const StreamFetcher<S>& place, const unsigned char* stage, int unit,
                                          StreamSums<S>& out) noexcept {
  using E = typename S::E;
  const int lane = thread_index() % warp_size;
  const unsigned char* const tokens = stage + S::weight_bytes;
  const unsigned char* const side = tokens + S::token_bytes;
  PLANISH_UNROLL
  for (int half = 0; half < 2; ++half) {
    std::uint32_t b[S::tiles][4];
    PLANISH_UNROLL
    for (int n = 0; n < S::tiles; ++n)
      load_rows(b[n], tokens + token_chunk_offset(lane % 8 + 8 * n, 4 * half + lane / 8));
    PLANISH_UNROLL
    for (int u = 0; u < S::channel_warps; ++u) {
      if (S::grouped && place.a.w.zeros != nullptr)
        out.set_zeros(u, *reinterpret_cast<const Vector8*>(side + u * S::unit_side_bytes + 2 * S::half_scale_bytes +
                                                           half * unit_channels + lane / 4 * 8));
      PLANISH_UNROLL
      for (int m = 0; m < unit_tiles; ++m) {
        const auto packed = LaneWords<S::stored_bits>::load(stage + u * S::unit_bytes, half, m);
        std::uint32_t fragment[4];
        expand_fragment<E, 0>(packed, out.zeros[u] + 2 * m, fragment);
        PLANISH_UNROLL
        for (int n = 0; n < S::tiles; ++n) multiply_floats(E{}, out.part[u][m][n], fragment, b[n][0], b[n][1]);
        expand_fragment<E, 1>(packed, out.zeros[u] + 2 * m, fragment);
        PLANISH_UNROLL
        for (int n = 0; n < S::tiles; ++n) multiply_floats(E{}, out.part[u][m][n], fragment, b[n][2], b[n][3]);
      }
    }
    if constexpr (S::grouped) {
      const int column = unit * float_unit_columns + 32 * half;
      if (half == 1 || place.group_of(column) != place.group_of(column + 32))
        out.end_group(side + half * S::half_scale_bytes + lane / 4 * 32);
    }
  }
}

/// blocks = channel tiles × token tiles × splits, split slowest. `early`: weights are older than the kernel before.
template <class S>
PLANISH_KERNEL(S::threads, S::blocks_at_once)
weight_only_stream(WeightOnlyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits,
                   bool early) {
  const int tiles = channel_tiles * token_tiles, tile = block_index() % tiles, split = block_index() / tiles;
  const int channel_tile = tile % channel_tiles, token_tile = tile / channel_tiles;
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size, units = a.w.column_units();
  const int begin = static_cast<int>(std::int64_t{units} * split / splits) + warp;
  const int end = static_cast<int>(std::int64_t{units} * (split + 1) / splits);
  unsigned char* const ring = shared_memory() + warp * S::ring_bytes;
  const StreamFetcher<S> fetcher(a, channel_tile, token_tile);
  let_next_kernel_start();
  const auto fill = [&](bool weights, bool tokens) {
    PLANISH_NO_UNROLL
    for (int s = 0; s < S::stages; ++s) {
      const int unit = begin + s * S::warps;
      if (weights && unit < end) fetcher.fetch_weights(ring + s * S::stage_bytes, unit);
      if (tokens && unit < end) fetcher.fetch_tokens(ring + s * S::stage_bytes, unit);
      if (tokens) commit_copies();
    }
  };
  StreamOutputs<S> outputs(a, fetcher.first_unit);
  if (early) fill(true, false);
  wait_for_kernel_before();
  fill(!early, true);
  StreamSums<S> out = {};
  PLANISH_UNROLL
  for (int u = 0; u < S::channel_warps; ++u) {
    constexpr std::uint32_t middle = (1u << (S::stored_bits - 1)) * 0x01010101u;
    Vector8 zeros = {{middle, middle}};
    if (!S::grouped && a.w.zeros != nullptr && u < fetcher.channels_left)
      zeros = *reinterpret_cast<const Vector8*>(a.w.zeros + (fetcher.first_unit + u) * unit_channels + lane / 4 * 8);
    out.set_zeros(u, zeros);
  }
  int stage = 0;
  PLANISH_NO_UNROLL
  for (int unit = begin; unit < end; unit += S::warps) {
    wait_copies<S::stages - 1>();
    warp_barrier();
    multiply_stream_stage<S>(fetcher, ring + stage * S::stage_bytes, unit, out);
    warp_barrier();  // nobody reads this stage any more
    const int next = unit + S::stages * S::warps;
    if (next < end) {
      fetcher.fetch_weights(ring + stage * S::stage_bytes, next);
      fetcher.fetch_tokens(ring + stage * S::stage_bytes, next);
    }
    commit_copies();
    stage = stage + 1 == S::stages ? 0 : stage + 1;
  }
  wait_copies<0>();
  block_barrier();  // nor the rings
  if constexpr (S::grouped)
    outputs.meet(out.whole);
  else
    outputs.meet(out.part);
  if (!outputs.join(a.workspace, tile, tiles, split, splits)) return;
  outputs.store(a, type, fetcher.first_unit, token_tile * S::tokens);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
