#pragma once
// From a warp's sums to y: partial sums of split columns, zero points, scales, bias, residual, rounding, stores.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/multiply_arguments.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Outputs of a product at most, so that an int counts its tiles, of 64 × 8 outputs or more.
inline constexpr std::int64_t most_product_outputs = std::int64_t{1} << 38;

/// What a lane keeps of 64 channels × `Tiles`·8 tokens: sums[channel tile][token tile][register].
template <int Tiles>
using WarpSums = int[unit_tiles][Tiles][4];

/// Words that one warp's sums take, and the bytes of workspace for `slots` warps with `words` each.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int warp_words(int tiles) noexcept { return unit_channels * 8 * tiles; }
[[nodiscard]] constexpr std::int64_t split_bytes(std::int64_t slots, int words) noexcept {
  return slots * (words + 1) * 4;
}

/// Adds this warp's sums to those of the warps that have other columns of the same outputs. True for the last of them,
/// which then holds the whole sums and has left its part of the workspace zeroed. `sums`: Count registers.
template <int Count>
PLANISH_DEVICE bool join_splits(int* sums, void* workspace, int slot, int slots, int splits) noexcept {
  if (splits == 1) return true;
  const int lane = thread_index() % warp_size;
  auto* counter = static_cast<std::int32_t*>(workspace) + slot;
  auto* words = static_cast<std::int32_t*>(workspace) + slots + std::int64_t{slot} * Count * warp_size + lane;
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) (void)atomic_add(words + i * warp_size, sums[i]);
  device_fence();
  warp_barrier();
  int ticket = lane == 0 ? atomic_add(counter, 1) : 0;
  ticket = broadcast(ticket, 0);
  if (ticket != splits - 1) return false;
  device_fence();
  PLANISH_UNROLL
  for (int i = 0; i < Count; ++i) {
    sums[i] = load_shared_word(words + i * warp_size);
    words[i * warp_size] = 0;
  }
  if (lane == 0) *counter = 0;
  return true;
}

/// Eight values of neighbouring channels, stored at once where all eight exist and the address allows it.
PLANISH_DEVICE void store_eight(void* y, ElementType type, std::int64_t at, const float (&v)[8], int count) noexcept {
  const bool whole = count >= 8;
  if (type == ElementType::float32) {
    float* to = static_cast<float*>(y) + at;
    if (whole && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      Vector16 low, high;
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) {
        low.words[i] = __builtin_bit_cast(std::uint32_t, v[i]);
        high.words[i] = __builtin_bit_cast(std::uint32_t, v[i + 4]);
      }
      reinterpret_cast<Vector16*>(to)[0] = low;
      reinterpret_cast<Vector16*>(to)[1] = high;
      return;
    }
  } else {
    std::uint16_t* to = static_cast<std::uint16_t*>(y) + at;
    if (whole && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      Vector16 all;
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i)
        all.words[i] = type == ElementType::bfloat16 ? round_pair(BFloat16{}, v[2 * i], v[2 * i + 1])
                                                     : round_pair(Half{}, v[2 * i], v[2 * i + 1]);
      *reinterpret_cast<Vector16*>(to) = all;
      return;
    }
  }
  PLANISH_UNROLL
  for (int i = 0; i < 8; ++i)
    if (i < count) store_element(y, type, at + i, v[i]);
}

/// What outputs need of eight neighbouring channels.
struct EightChannels {
  int channel, count;  // the first, of all; how many of the eight exist
  float scales[8], biases[8];
  std::int32_t zeros[8], sums[8];

  PLANISH_DEVICE EightChannels(const MultiplyArguments& a, int first) noexcept
      : channel(first), count(a.w.channels - first) {
    if (count <= 0) return;
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) {  // side data is padded to whole units, the bias is the caller's
      scales[i] = a.w.scales[channel + i];
      zeros[i] = a.w.zeros == nullptr ? 0 : a.w.zeros[channel + i];
      sums[i] = a.x.zero_points == nullptr ? 0 : a.w.sums[channel + i];
      biases[i] = a.bias == nullptr || i >= count ? 0.0f : a.bias[channel + i];
    }
  }

  /// Rescales and stores their Σ x·w of one token.
  PLANISH_DEVICE void store(const std::int32_t (&products)[8], const MultiplyArguments& a, ElementType type,
                            int token) const noexcept {
    const std::int32_t token_sum = a.w.zeros == nullptr ? 0 : a.x.sums[token];
    const std::int32_t token_zero = a.x.zero_points == nullptr ? 0 : a.x.zero_points[token];
    std::int32_t whole[8];
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) whole[i] = without_zeros(products[i], token_sum, token_zero, zeros[i], sums[i]);
    const std::int64_t at = token * a.y_stride + channel;
    if (type == ElementType::int32) {
      PLANISH_UNROLL
      for (int i = 0; i < 8; ++i)
        if (i < count) static_cast<std::int32_t*>(a.y)[at + i] = whole[i];
      return;
    }
    const float scale = a.x.scales[token];
    float values[8];
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = rescale(whole[i], scale, scales[i], biases[i]);
    if (a.residual != nullptr) {
      PLANISH_UNROLL
      for (int i = 0; i < 8; ++i)
        if (i < count) values[i] += load_element(a.residual, type, token * a.residual_stride + channel + i);
    }
    store_eight(a.y, type, at, values, count);
  }
};

/// Rescales and stores a warp's sums. `unit`: which 64 channels; `first`: token of column 0; `factor_bits`: the sums
/// are 2^factor_bits too large.
template <int Tiles>
PLANISH_DEVICE void store_sums(const WarpSums<Tiles>& sums, const MultiplyArguments& a, ElementType type, int unit,
                               int first, int factor_bits) noexcept {
  const int lane = thread_index() % warp_size;
  const EightChannels channels(a, unit * unit_channels + 8 * (lane / 4));
  if (channels.count <= 0) return;
  PLANISH_UNROLL
  for (int n = 0; n < Tiles; ++n) PLANISH_UNROLL
  for (int b = 0; b < 2; ++b) {
    const int token = first + 8 * n + 2 * (lane % 4) + b;
    if (token >= static_cast<int>(a.x.rows)) continue;
    std::int32_t products[8];
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) products[i] = sums[i / 2][n][2 * (i % 2) + b] >> factor_bits;
    channels.store(products, a, type, token);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
