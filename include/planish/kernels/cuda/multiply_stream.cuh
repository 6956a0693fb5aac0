#pragma once
// Integer products for a few tokens: weights stream from memory into registers, once, and every lane has several loads
// under way. A block has 64 or 128 channels; its warps share the columns of each 64.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/multiply_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of multiply_stream: 8·tiles tokens.
template <int StoredBits, int Tiles, int ChannelWarps>
struct MultiplyStream {
  static constexpr int stored_bits = StoredBits, tiles = Tiles;
  static constexpr int channel_warps = ChannelWarps, column_warps = 8 / ChannelWarps;
  static constexpr int warp_words = cuda::warp_words(Tiles);  // of sums
  static constexpr int threads = warp_size * channel_warps * column_warps;
  static constexpr int tokens = 8 * Tiles;
  static constexpr int step_columns = StoredBits == 4 ? 128 : 64;  // of one 4 KiB piece of a warp
  static constexpr int step_vectors = 8;                           // 16 bytes each, per lane
  static constexpr int shared_bytes = channel_warps * (column_warps - 1) * warp_words * 4;
};

/// The weights of one step of a warp.
template <class Shape>
struct StreamedWeights {
  Vector16 vectors[Shape::step_vectors];
};

template <class Shape>
PLANISH_DEVICE StreamedWeights<Shape> fetch_weights(const std::uint8_t* units, int step) noexcept {
  const std::uint8_t* from = units + std::int64_t{step} * (Shape::step_vectors * 512) + thread_index() % warp_size * 16;
  StreamedWeights<Shape> w;
  PLANISH_UNROLL
  for (int i = 0; i < Shape::step_vectors; ++i) w.vectors[i] = load_streaming(from + i * 512);
  return w;
}

/// Adds the products of one step.
template <class Shape>
PLANISH_DEVICE void multiply_step(const MultiplyArguments& a, const StreamedWeights<Shape>& w, int first_column,
                                  int first_token, WarpSums<Shape::tiles>& sums) noexcept {
  const int lane = thread_index() % warp_size;
  PLANISH_UNROLL
  for (int chunk = 0; chunk < Shape::step_columns / chunk_columns; ++chunk) {
    const int column = first_column + chunk * chunk_columns + lane % 4 * 4;
    std::uint32_t b[Shape::tiles][4];
    PLANISH_UNROLL
    for (int n = 0; n < Shape::tiles; ++n) {
      const int token = first_token + 8 * n + lane / 4;
      const std::int8_t* row = a.x.codes + token * std::int64_t{a.x.stride} + column;
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool exists = token < static_cast<int>(a.x.rows) && column + 16 * i < a.w.columns;
        b[n][i] = exists ? *reinterpret_cast<const std::uint32_t*>(row + 16 * i) : 0;
      }
    }
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) PLANISH_UNROLL
    for (int step = 0; step < 2; ++step) {
      std::uint32_t fragment[4];
      if constexpr (Shape::stored_bits == 4) {
        const Vector16& packed = w.vectors[chunk * unit_tiles + m];
        expand_nibbles(packed.words[2 * step], fragment[0], fragment[1]);
        expand_nibbles(packed.words[2 * step + 1], fragment[2], fragment[3]);
      } else {
        PLANISH_UNROLL
        for (int r = 0; r < 4; ++r) fragment[r] = w.vectors[step * unit_tiles + m].words[r];
      }
      PLANISH_UNROLL
      for (int n = 0; n < Shape::tiles; ++n) multiply_bytes(sums[m][n], fragment, b[n][2 * step], b[n][2 * step + 1]);
    }
  }
}

/// blocks = channel tiles × token tiles × splits, split slowest.
template <class Shape>
PLANISH_KERNEL(Shape::threads, 1)
multiply_stream(MultiplyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits) {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const int channel_warp = warp % Shape::channel_warps, column_warp = warp / Shape::channel_warps;
  const int tiles = channel_tiles * token_tiles, tile = block_index() % tiles, split = block_index() / tiles;
  const int channel_tile = tile % channel_tiles, token_tile = tile / channel_tiles;
  const int unit = channel_tile * Shape::channel_warps + channel_warp;
  const bool exists = unit < a.w.channel_units();
  const int steps = a.w.column_units() * (unit_columns / Shape::step_columns);
  const int part = split * Shape::column_warps + column_warp, parts = splits * Shape::column_warps;
  const int begin = static_cast<int>(std::int64_t{steps} * part / parts);
  const int end = exists ? static_cast<int>(std::int64_t{steps} * (part + 1) / parts) : begin;
  const int first_token = token_tile * Shape::tokens;

  WarpSums<Shape::tiles> sums = {};
  const std::uint8_t* units =
      a.w.units + std::int64_t{exists ? unit : 0} * a.w.column_units() * unit_bytes(Shape::stored_bits);
  StreamedWeights<Shape> next = {};
  if (begin < end) next = fetch_weights<Shape>(units, begin);
  wait_for_kernel_before();  // weights are older
  let_next_kernel_start();
  if (begin < end) {
    PLANISH_NO_UNROLL
    for (int step = begin; step < end; ++step) {
      const StreamedWeights<Shape> current = next;
      if (step + 1 < end) next = fetch_weights<Shape>(units, step + 1);
      multiply_step<Shape>(a, current, step * Shape::step_columns, first_token, sums);
    }
  }

  // The warps of one unit meet in shared memory, and the first of them goes on.
  auto* meeting = reinterpret_cast<std::int32_t*>(shared_memory());
  constexpr int words = Shape::warp_words;
  if (column_warp > 0) {
    std::int32_t* mine = meeting + ((column_warp - 1) * Shape::channel_warps + channel_warp) * words + lane;
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) PLANISH_UNROLL
    for (int n = 0; n < Shape::tiles; ++n) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) mine[((m * Shape::tiles + n) * 4 + r) * warp_size] = sums[m][n][r];
  }
  block_barrier();
  if (column_warp > 0 || !exists) return;
  PLANISH_UNROLL
  for (int other = 0; other < Shape::column_warps - 1; ++other) {
    const std::int32_t* theirs = meeting + (other * Shape::channel_warps + channel_warp) * words + lane;
    PLANISH_UNROLL
    for (int m = 0; m < unit_tiles; ++m) PLANISH_UNROLL
    for (int n = 0; n < Shape::tiles; ++n) PLANISH_UNROLL
    for (int r = 0; r < 4; ++r) sums[m][n][r] += theirs[((m * Shape::tiles + n) * 4 + r) * warp_size];
  }
  const int slots = tiles * Shape::channel_warps;
  if (!join_splits<unit_tiles * Shape::tiles * 4>(&sums[0][0][0], a.workspace,
                                                  tile * Shape::channel_warps + channel_warp, slots, splits))
    return;
  store_sums<Shape::tiles>(sums, a, type, unit, first_token, Shape::stored_bits == 4 ? 4 : 0);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
