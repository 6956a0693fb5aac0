#pragma once
// What a host computes beside planish's kernels, row by row in float32: embedding, RMSNorm, RoPE, SwiGLU, shift and
// scale, the rows of a float cache. Plain kernels on planish's names for the machine, so that the emulated thread block
// of tests/cuda runs them as they stand.
#include <cmath>
#include <cstdint>

#include <planish/kernels/cuda/warp.cuh>
#include <planish/packing/quantized_rows.hpp>

namespace llama::gpu {

using planish::kernels::cuda::block_barrier;
using planish::kernels::cuda::block_count;
using planish::kernels::cuda::block_index;
using planish::kernels::cuda::shared_memory;
using planish::kernels::cuda::thread_index;

inline constexpr int row_threads = 256;

/// y(r) = table(ids[r]): a block per row.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
gather_rows(const float* table, const std::int32_t* ids, int columns, float* y) {
  const std::int64_t row = block_index();
  for (int c = thread_index(); c < columns; c += Threads)
    y[row * columns + c] = table[std::int64_t{ids[row]} * columns + c];
}

/// y = x / sqrt(mean(x²) + epsilon) ⊙ gain, a block per row; squares are summed in float64 as on the CPU. y may be x.
/// Shared memory: a double per thread.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
rms_norm_rows(const float* x, const float* gain, float epsilon, int columns, float* y) {
  const float* from = x + std::int64_t{block_index()} * columns;
  float* to = y + std::int64_t{block_index()} * columns;
  auto* const parts = reinterpret_cast<double*>(shared_memory());
  double sum = 0.0;
  for (int c = thread_index(); c < columns; c += Threads)
    sum += static_cast<double>(from[c]) * static_cast<double>(from[c]);
  parts[thread_index()] = sum;
  for (int width = Threads / 2; width > 0; width /= 2) {
    block_barrier();
    if (thread_index() < width) parts[thread_index()] += parts[thread_index() + width];
  }
  block_barrier();
  const float inverse =
      static_cast<float>(1.0 / std::sqrt(parts[0] / static_cast<double>(columns) + static_cast<double>(epsilon)));
  for (int c = thread_index(); c < columns; c += Threads) to[c] = from[c] * inverse * gain[c];
}

/// Cosines and sines of every position for the pairs that turn.
struct RotaryTable {
  const float* cosines = nullptr;  // positions × turned
  const float* sines = nullptr;
  int turned = 0;            // pairs of a head
  bool interleaved = false;  // (2i, 2i + 1) instead of (i, i + turned)
};

/// Turns every head of queries and keys in place, row r to positions[r]: a block per row.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
rotate_rows(float* queries, int heads, float* keys, int kv_heads, int head_size, const std::int32_t* positions,
            RotaryTable table) {
  const std::int64_t row = block_index();
  const float* cosines = table.cosines + std::int64_t{positions[row]} * table.turned;
  const float* sines = table.sines + std::int64_t{positions[row]} * table.turned;
  for (int at = thread_index(); at < (heads + kv_heads) * table.turned; at += Threads) {
    const int head = at / table.turned, i = at % table.turned;
    float* const values =
        head < heads ? queries + (row * heads + head) * head_size : keys + (row * kv_heads + head - heads) * head_size;
    float& first = values[table.interleaved ? 2 * i : i];
    float& second = values[table.interleaved ? 2 * i + 1 : i + table.turned];
    const float a = first, b = second;
    first = a * cosines[i] - b * sines[i];
    second = a * sines[i] + b * cosines[i];
  }
}

/// y = gate / (1 + e^−gate) · up; e^−gate stays finite.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
swiglu_elements(const float* gate, const float* up, std::int64_t count, float* y) {
  for (std::int64_t at = std::int64_t{block_index()} * Threads + thread_index(); at < count;
       at += std::int64_t{block_count()} * Threads) {
    const float x = gate[at], exponent = -x > 88.0f ? 88.0f : -x;
    y[at] = x / (1.0f + std::exp(exponent)) * up[at];
  }
}

/// y = (x − offset) ⊙ scale, a block per row; null: 0 and 1. y may be x.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
map_rows(const float* x, const float* offset, const float* scale, int columns, float* y) {
  const std::int64_t row = block_index();
  for (int c = thread_index(); c < columns; c += Threads) {
    const float moved = offset == nullptr ? x[row * columns + c] : x[row * columns + c] - offset[c];
    y[row * columns + c] = scale == nullptr ? moved : moved * scale[c];
  }
}

/// The float values of codes, a block per row.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
dequantize_rows(planish::QuantizedRowsView codes, float* y) {
  const planish::index row = block_index();
  const int columns = static_cast<int>(codes.columns), zero = codes.zero_point(row);
  for (int c = thread_index(); c < columns; c += Threads)
    y[row * columns + c] = static_cast<float>(codes.row(row)[c] - zero) * codes.scales[row];
}

/// Row r of keys and values to row bases[r] + positions[r] of a float cache, a block per row.
template <int Threads = row_threads>
PLANISH_KERNEL(Threads, 1)
store_rows(const float* keys, const float* values, int width, const std::int32_t* positions, const std::int32_t* bases,
           float* key_rows, float* value_rows) {
  const std::int64_t row = block_index(), to = std::int64_t{bases[row]} + positions[row];
  for (int c = thread_index(); c < width; c += Threads) {
    key_rows[to * width + c] = keys[row * width + c];
    value_rows[to * width + c] = values[row * width + c];
  }
}

}  // namespace llama::gpu
