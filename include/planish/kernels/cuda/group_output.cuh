#pragma once
// The outputs of a block of two warpgroups, from registers to memory: through shared memory where they have 16 bits, so
// that whole lines are written.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/matrix_fragments.cuh>
#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/pipeline_output.cuh>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Where the outputs of a block go: 128 channels × `Tokens`.
struct GroupOutput {
  void* y;
  std::int64_t y_stride;
  const void* residual;
  std::int64_t residual_stride;
  ElementType type;  // not int32
  int rows, channels;
  int first_channel, first_token;
};

/// Of register pair i of a thread (its channel and the next): which token of the block.
[[nodiscard]] PLANISH_DEVICE int pair_token(int i) noexcept { return i / 2 * 8 + 2 * (thread_index() % 4) + i % 2; }
/// The first of a thread's two channels, of the block's 128.
[[nodiscard]] PLANISH_DEVICE int pair_channel() noexcept {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  return warp / 4 * unit_channels + 8 * (lane / 4) + 2 * (warp % 4);
}

/// Stores the outputs `value(i, h)` of every pair i and channel h = 0, 1. `shared`: Tokens · 256 bytes that nobody else
/// uses; every thread of the block comes here.
template <int Tokens, int Threads, int Barrier = 0, class Value>
PLANISH_DEVICE void store_group_pairs(const GroupOutput& out, unsigned char* shared, const Value& value) noexcept {
  const int within = pair_channel(), channel = out.first_channel + within;
  const bool sixteen = element_bytes(out.type) == 2;
  PLANISH_UNROLL
  for (int i = 0; i < Tokens / 4; ++i) {
    int column = pair_token(i);
    settle(column);  // addresses of all tokens at once are more than the registers hold
    const int token = out.first_token + column;
    float values[2];
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      values[h] = value(i, h);
      if ((sixteen && out.residual == nullptr) || token >= out.rows || channel + h >= out.channels) continue;
      if (out.residual != nullptr)
        values[h] += load_element(out.residual, out.type, token * out.residual_stride + channel + h);
      if (!sixteen) static_cast<float*>(out.y)[token * out.y_stride + channel + h] = values[h];
    }
    if (!sixteen) continue;
    // Into shared memory: a token's 128 channels in 256 bytes, words of 16 bytes exchanged by the token.
    const std::uint32_t pair = out.type == ElementType::bfloat16 ? round_pair(BFloat16{}, values[0], values[1])
                                                                 : round_pair(Half{}, values[0], values[1]);
    const int word = within / 2;
    reinterpret_cast<std::uint32_t*>(shared)[column * 64 + (word ^ column / 2 % 4)] = pair;
  }
  if (!sixteen) return;
  if constexpr (Barrier == 0)
    block_barrier();
  else
    group_barrier(Barrier, Threads);
  auto* const y = static_cast<std::uint16_t*>(out.y);
  for (int i = thread_index(); i < Tokens * 16; i += Threads) {
    const int column = i / 16, token = out.first_token + column, begin = out.first_channel + i % 16 * 8;
    if (token >= out.rows || begin >= out.channels) continue;
    const Vector16 raw = reinterpret_cast<const Vector16*>(shared)[i];
    const int exchange = column / 2 % 4;
    Vector16 v;
    const bool pairs = (exchange & 2) != 0, words = (exchange & 1) != 0;
    PLANISH_UNROLL
    for (int w = 0; w < 4; ++w) {
      const std::uint32_t near = words ? raw.words[w ^ 1] : raw.words[w];
      const std::uint32_t far = words ? raw.words[w ^ 3] : raw.words[w ^ 2];
      v.words[w] = pairs ? far : near;
    }
    std::uint16_t* const to = y + token * out.y_stride + begin;
    if (begin + 8 <= out.channels && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      *reinterpret_cast<Vector16*>(to) = v;
      continue;
    }
    PLANISH_UNROLL
    for (int c = 0; c < 8; ++c)
      if (begin + c < out.channels) to[c] = static_cast<std::uint16_t>(v.words[c / 2] >> (c % 2 * 16));
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
