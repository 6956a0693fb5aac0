#pragma once
// Causal attention over keys and values that lie as float32 rows: a float cache, or a quantized one turned back for a
// prompt. A block per row and query head; its warps share the tokens, each with a running softmax.
#include <cmath>
#include <cstdint>

#include "row_kernels.cuh"

namespace llama::gpu {

/// Query row r stands at positions[r] and sees rows bases[r] … bases[r] + positions[r] of keys and values.
struct FloatAttention {
  const float* query = nullptr;  // rows × heads · head size
  const float* keys = nullptr;   // × KV heads · head size
  const float* values = nullptr;
  float* y = nullptr;  // as the query
  const std::int32_t* positions = nullptr;
  const std::int32_t* bases = nullptr;
  int heads = 1, kv_heads = 1, head_size = 0;
  float softmax_scale = 1.0f;
};

inline constexpr int attention_threads = 256;
inline constexpr int attention_lanes = 8;  // channels of a lane, at most: heads of 256
/// Tokens that a warp takes at a time.
inline constexpr int attention_tokens = 4;

/// Shared memory: what every warp has of the outputs, its maximum and its sum.
[[nodiscard]] constexpr int attention_shared_bytes(int head_size) noexcept {
  return attention_threads / planish::kernels::cuda::warp_size * (head_size + 2) * 4;
}

/// blocks = rows × heads, heads fastest.
template <int Threads = attention_threads>
PLANISH_KERNEL(Threads, 1)
attend_float_rows(FloatAttention a) {
  constexpr int warp_size = planish::kernels::cuda::warp_size, warps = Threads / warp_size;
  const std::int64_t row = block_index() / a.heads;
  const int head = block_index() % a.heads, kv_head = head / (a.heads / a.kv_heads);
  const int warp = thread_index() / warp_size, lane = thread_index() % warp_size;
  const std::int64_t kv_width = std::int64_t{a.kv_heads} * a.head_size;
  const std::int64_t first = a.bases[row] * kv_width + std::int64_t{kv_head} * a.head_size;
  const int tokens = a.positions[row] + 1;

  float query[attention_lanes], output[attention_lanes] = {};
  PLANISH_UNROLL
  for (int i = 0; i < attention_lanes; ++i) {
    const int channel = lane + i * warp_size;
    query[i] = channel < a.head_size ? a.query[(row * a.heads + head) * a.head_size + channel] * a.softmax_scale : 0.0f;
  }
  float most = -INFINITY, sum = 0.0f;
  for (int t = warp * attention_tokens; t < tokens; t += warps * attention_tokens) {
    float scores[attention_tokens];
    PLANISH_UNROLL
    for (int u = 0; u < attention_tokens; ++u) {
      scores[u] = 0.0f;
      if (t + u >= tokens) continue;
      const float* key = a.keys + first + (t + u) * kv_width;
      PLANISH_UNROLL
      for (int i = 0; i < attention_lanes; ++i)
        if (lane + i * warp_size < a.head_size) scores[u] += query[i] * key[lane + i * warp_size];
    }
    for (int mask = warp_size / 2; mask > 0; mask /= 2) PLANISH_UNROLL
    for (int u = 0; u < attention_tokens; ++u) scores[u] += planish::kernels::cuda::shuffle_xor(scores[u], mask);
    float highest = most;
    PLANISH_UNROLL
    for (int u = 0; u < attention_tokens; ++u)
      if (t + u < tokens && !(scores[u] <= highest)) highest = scores[u];
    const float shrink = std::exp(most - highest);
    sum *= shrink;
    PLANISH_UNROLL
    for (int i = 0; i < attention_lanes; ++i) output[i] *= shrink;
    PLANISH_UNROLL
    for (int u = 0; u < attention_tokens; ++u) {
      if (t + u >= tokens) continue;
      const float weight = std::exp(scores[u] - highest);
      sum += weight;
      const float* value = a.values + first + (t + u) * kv_width;
      PLANISH_UNROLL
      for (int i = 0; i < attention_lanes; ++i)
        if (lane + i * warp_size < a.head_size) output[i] += weight * value[lane + i * warp_size];
    }
    most = highest;
  }

  auto* const outputs = reinterpret_cast<float*>(shared_memory());
  float* const sides = outputs + warps * a.head_size;  // [warp][maximum, sum]
  PLANISH_UNROLL
  for (int i = 0; i < attention_lanes; ++i)
    if (lane + i * warp_size < a.head_size) outputs[warp * a.head_size + lane + i * warp_size] = output[i];
  if (lane == 0) {
    sides[2 * warp] = most;
    sides[2 * warp + 1] = sum;
  }
  block_barrier();
  float highest = sides[0];
  for (int w = 1; w < warps; ++w)
    if (!(sides[2 * w] <= highest)) highest = sides[2 * w];
  float whole = 0.0f;
  for (int w = 0; w < warps; ++w)
    if (sides[2 * w + 1] != 0.0f) whole += sides[2 * w + 1] * std::exp(sides[2 * w] - highest);
  for (int channel = thread_index(); channel < a.head_size; channel += Threads) {
    float value = 0.0f;
    for (int w = 0; w < warps; ++w)
      if (sides[2 * w + 1] != 0.0f) value += outputs[w * a.head_size + channel] * std::exp(sides[2 * w] - highest);
    a.y[(row * a.heads + head) * a.head_size + channel] = value / whole;
  }
}

}  // namespace llama::gpu
