#pragma once
// Products of float32 activations: float32 arithmetic throughout, as layers need it that stay float. Weights are
// float32, or codes whose float values are made where they are read.
#include <cstdint>

#include <planish/core/rescale.hpp>

#include "row_kernels.cuh"

namespace llama::gpu {

/// A matrix that float activations meet, of device memory, row-major: `values`, or else `codes`.
struct FloatMatrix {
  int rows = 0, columns = 0;  // out × in
  const float* values = nullptr;
  const std::uint8_t* codes = nullptr;
  bool asymmetric = false;        // codes are unsigned and have zero points
  int group_columns = 1;          // that share a scale
  int groups = 1;                 // of a row
  const float* scales = nullptr;  // rows × groups
  const std::uint8_t* zeros = nullptr;

  /// Weight (row, column) as float32.
  [[nodiscard]] PLANISH_DEVICE float at(int row, int column) const noexcept {
    const std::int64_t place = std::int64_t{row} * columns + column;
    if (values != nullptr) return values[place];
    const std::int64_t side = std::int64_t{row} * groups + column / group_columns;
    const int code = asymmetric ? static_cast<int>(codes[place]) - static_cast<int>(zeros[side])
                                : static_cast<int>(static_cast<std::int8_t>(codes[place]));
    return static_cast<float>(code) * scales[side];
  }
};

/// y = x · Wᵀ + bias + residual; all dense rows, y may be the residual.
struct FloatProduct {
  const float* x = nullptr;  // tokens × columns
  int tokens = 0;
  FloatMatrix w;
  const float* bias = nullptr;      // null: none
  const float* residual = nullptr;  // null: none
  float* y = nullptr;               // tokens × rows

  PLANISH_DEVICE void store(int token, int channel, float sum) const noexcept {
    const std::int64_t at = std::int64_t{token} * w.rows + channel;
    if (bias != nullptr) sum += bias[channel];
    y[at] = residual == nullptr ? sum : sum + residual[at];
  }
};

inline constexpr int stream_threads = 128;
inline constexpr int stream_warps = stream_threads / planish::kernels::cuda::warp_size;

/// Few tokens: a warp per channel reads its weights once. `Tokens`: at most so many; blocks: channels / stream_warps.
template <int Tokens>
PLANISH_KERNEL(stream_threads, 1)
stream_float_product(FloatProduct p) {
  constexpr int warp_size = planish::kernels::cuda::warp_size;
  const int channel = block_index() * stream_warps + thread_index() / warp_size, lane = thread_index() % warp_size;
  if (channel >= p.w.rows) return;
  float sums[Tokens] = {};
  for (int c = lane; c < p.w.columns; c += warp_size) {
    const float weight = p.w.at(channel, c);
    PLANISH_UNROLL
    for (int t = 0; t < Tokens; ++t)
      if (t < p.tokens) sums[t] = planish::fused_multiply_add(p.x[std::int64_t{t} * p.w.columns + c], weight, sums[t]);
  }
  PLANISH_UNROLL
  for (int t = 0; t < Tokens; ++t) {
    if (t >= p.tokens) continue;
    float sum = sums[t];
    for (int mask = warp_size / 2; mask > 0; mask /= 2) sum += planish::kernels::cuda::shuffle_xor(sum, mask);
    if (lane == 0) p.store(t, channel, sum);
  }
}

inline constexpr int tile_threads = 256, tile_side = 64, tile_step = 16;
inline constexpr int tile_line = tile_side + 4;  // floats from column to column of a tile in shared memory
inline constexpr int tile_shared_bytes = 2 * tile_step * tile_line * 4;

/// Many tokens: a block has 64 channels × 64 tokens, a thread 4 × 4 of them; blocks: channel tiles × token tiles, the
/// latter fastest.
template <int Threads = tile_threads>
PLANISH_KERNEL(Threads, 1)
tile_float_product(FloatProduct p, int token_tiles) {
  const int first_channel = block_index() / token_tiles * tile_side,
            first_token = block_index() % token_tiles * tile_side;
  auto* const tokens = reinterpret_cast<float*>(shared_memory());
  float* const weights = tokens + tile_step * tile_line;
  const int line = thread_index() / 4, begin = thread_index() % 4 * 4;  // of what this thread fetches
  const int across = thread_index() % 16 * 4, down = thread_index() / 16 * 4;
  float sums[4][4] = {};
  for (int k = 0; k < p.w.columns; k += tile_step) {
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int c = k + begin + i;
      const bool inside = c < p.w.columns;
      const int token = first_token + line, channel = first_channel + line;
      tokens[(begin + i) * tile_line + line] =
          inside && token < p.tokens ? p.x[std::int64_t{token} * p.w.columns + c] : 0.0f;
      weights[(begin + i) * tile_line + line] = inside && channel < p.w.rows ? p.w.at(channel, c) : 0.0f;
    }
    block_barrier();
    PLANISH_UNROLL
    for (int step = 0; step < tile_step; ++step) {
      float a[4], b[4];
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[i] = tokens[step * tile_line + down + i];
        b[i] = weights[step * tile_line + across + i];
      }
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) PLANISH_UNROLL
      for (int j = 0; j < 4; ++j) sums[i][j] = planish::fused_multiply_add(a[i], b[j], sums[i][j]);
    }
    block_barrier();
  }
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) PLANISH_UNROLL
  for (int j = 0; j < 4; ++j)
    if (first_token + down + i < p.tokens && first_channel + across + j < p.w.rows)
      p.store(first_token + down + i, first_channel + across + j, sums[i][j]);
}

}  // namespace llama::gpu
