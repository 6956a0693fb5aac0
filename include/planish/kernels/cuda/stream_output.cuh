#pragma once
// The outputs of a block whose warps have the same channels and tokens, and columns of their own: their float sums meet
// in shared memory, then those of other blocks in the workspace, both in the order of the columns.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/half_pairs.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The bytes of workspace for `tiles` blocks of 16-byte `items` whose columns are split.
[[nodiscard]] constexpr std::int64_t stream_split_bytes(int tiles, int items, int splits) noexcept {
  return 16 * ((tiles + 3) / 4 + std::int64_t{tiles} * splits * items);
}

/// Four values of neighbouring channels, stored at once where all four exist and the address allows it.
PLANISH_DEVICE void store_four(void* y, ElementType type, std::int64_t at, const float (&v)[4], int count) noexcept {
  if (type == ElementType::float32) {
    float* const to = static_cast<float*>(y) + at;
    if (count >= 4 && reinterpret_cast<std::uintptr_t>(to) % 16 == 0) {
      *reinterpret_cast<Vector16*>(to) = {{word_of(v[0]), word_of(v[1]), word_of(v[2]), word_of(v[3])}};
      return;
    }
  } else {
    std::uint16_t* const to = static_cast<std::uint16_t*>(y) + at;
    if (count >= 4 && reinterpret_cast<std::uintptr_t>(to) % 8 == 0) {
      const bool brain = type == ElementType::bfloat16;
      Vector8 pairs;
      PLANISH_UNROLL
      for (int i = 0; i < 2; ++i)
        pairs.words[i] =
            brain ? round_pair(BFloat16{}, v[2 * i], v[2 * i + 1]) : round_pair(Half{}, v[2 * i], v[2 * i + 1]);
      *reinterpret_cast<Vector8*>(to) = pairs;
      return;
    }
  }
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i)
    if (i < count) store_element(y, type, at + i, v[i]);
}

/// The outputs of a thread: items of four neighbouring channels of a token, `S::threads` items apart.
template <class S>
struct StreamOutputs {
  static constexpr int rounds = (S::items + S::threads - 1) / S::threads;
  float values[rounds][4], scales[S::grouped ? 1 : rounds][4];

  /// Asks for what is known before the sums: one scale per channel. `unit`: the first of channels.
  PLANISH_DEVICE StreamOutputs(const WeightOnlyArguments& a, int unit) noexcept {
    if constexpr (!S::grouped)
      each([&](int item, int round) {
        const int channel = channel_of(item, unit);
        if (a.w.columns == 0 || channel >= a.w.channels) return;
        const Vector16 four = *reinterpret_cast<const Vector16*>(a.w.scales + channel);
        PLANISH_UNROLL
        for (int i = 0; i < 4; ++i) scales[round][i] = float_of(four.words[i]);
      });
  }

  /// Adds up the sums of the block's warps. Nobody may use the shared memory any more.
  PLANISH_DEVICE void meet(const WarpFloats<S::tiles> (&sums)[S::channel_warps]) noexcept {
    auto* const meeting = reinterpret_cast<Vector16*>(shared_memory());
    Vector16* const own = meeting + thread_index() / warp_size * S::items + thread_index() % warp_size;
    PLANISH_UNROLL
    for (int quad = 0; quad < S::quads; ++quad) {
      const int h = quad % 2, b = quad / 2 % 2, n = quad / 4 % S::tiles, u = quad / 4 / S::tiles;
      Vector16 four;
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) four.words[i] = word_of(sums[u][2 * h + i / 2][n][2 * (i % 2) + b]);
      own[quad * warp_size] = four;
    }
    block_barrier();
    each([&](int item, int round) {
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) values[round][i] = 0.0f;
      PLANISH_UNROLL
      for (int w = 0; w < S::warps; ++w) add(values[round], meeting[w * S::items + item]);
    });
  }

  /// Adds up those of all splits; true in the block that holds the whole sums. Leaves the workspace zeroed.
  PLANISH_DEVICE bool join(void* workspace, int tile, int tiles, int split, int splits) noexcept {
    if (splits == 1) return true;
    auto* const counter = static_cast<std::int32_t*>(workspace) + tile;
    auto* const parts = static_cast<Vector16*>(workspace) + (tiles + 3) / 4 + std::int64_t{tile} * splits * S::items;
    each([&](int item, int round) {
      const float(&four)[4] = values[round];
      parts[split * S::items + item] = {{word_of(four[0]), word_of(four[1]), word_of(four[2]), word_of(four[3])}};
    });
    device_fence();
    block_barrier();
    auto* const ticket = reinterpret_cast<int*>(shared_memory());
    if (thread_index() == 0) *ticket = atomic_add(counter, 1);
    block_barrier();
    if (*ticket != splits - 1) return false;
    device_fence();
    if (thread_index() == 0) *counter = 0;
    each([&](int item, int round) {
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) values[round][i] = 0.0f;
      PLANISH_NO_UNROLL
      for (int first = 0; first < splits; first += 4) {
        Vector16 some[4];
        PLANISH_UNROLL
        for (int s = 0; s < 4; ++s)
          if (first + s < splits) some[s] = load_shared_vector(parts + (first + s) * S::items + item);
        PLANISH_UNROLL
        for (int s = 0; s < 4; ++s)
          if (first + s < splits) {
            add(values[round], some[s]);
            parts[(first + s) * S::items + item] = {};
          }
      }
    });
    return true;
  }

  /// Scales, bias, residual, rounding. `first_unit`: of channels.
  PLANISH_DEVICE void store(const WeightOnlyArguments& a, ElementType type, int first_unit, int first_token) noexcept {
    each([&](int item, int round) {
      const int quad = item / warp_size, lane = item % warp_size, channel = channel_of(item, first_unit);
      const int token = first_token + quad / 4 % S::tiles * 8 + lane % 4 * 2 + quad / 2 % 2;
      const int count = a.w.channels - channel;
      if (count <= 0 || token >= a.rows) return;
      float(&four)[4] = values[round];
      PLANISH_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (!S::grouped && a.w.columns > 0) four[i] *= scales[round][i];
        if (i >= count) continue;
        if (a.bias != nullptr) four[i] += a.bias[channel + i];
        if (a.residual != nullptr) four[i] += load_element(a.residual, type, token * a.residual_stride + channel + i);
      }
      store_four(a.y, type, token * a.y_stride + channel, four, count);
    });
  }

 private:
  PLANISH_DEVICE static int channel_of(int item, int first_unit) noexcept {
    const int quad = item / warp_size, lane = item % warp_size;
    return (first_unit + quad / 4 / S::tiles) * unit_channels + lane / 4 * 8 + quad % 2 * 4;
  }
  template <class F>
  PLANISH_DEVICE void each(const F& f) noexcept {
    PLANISH_UNROLL
    for (int round = 0; round < rounds; ++round) {
      const int item = round * S::threads + thread_index();
      if (S::items % S::threads == 0 || item < S::items) f(item, round);
    }
  }
  PLANISH_DEVICE static void add(float (&four)[4], const Vector16& more) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) four[i] += float_of(more.words[i]);
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
