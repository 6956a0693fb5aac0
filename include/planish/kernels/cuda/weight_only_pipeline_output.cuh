#pragma once
// The outputs of one warpgroup of a pipelined weight-only product: float sums of 64 channels × many tokens, through
// shared memory as those of pipeline_output.cuh, which says where each lies.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/pipeline_output.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The first of the two channels of a unit that a thread of a warpgroup has.
[[nodiscard]] PLANISH_DEVICE int own_channel() noexcept {
  return lane_channel(thread_index() / warp_size, thread_index() % warp_size);
}

/// The thread of its warpgroup, anew: what follows from it is not kept in registers over the products of a tile.
[[nodiscard]] PLANISH_DEVICE int settled_thread() noexcept {
  int thread = thread_index() % group_size;
  settle(thread);
  return thread;
}

/// Scales (1 where groups have brought theirs) and biases of a thread's two channels, asked for while products end.
template <bool Grouped>
struct PairScales {
  float scales[2] = {1.0f, 1.0f}, biases[2] = {};

  PLANISH_DEVICE PairScales(const WeightOnlyArguments& a, int unit) noexcept {
    const int channel = unit * unit_channels + own_channel();
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      if (channel + h >= a.w.channels) continue;
      if constexpr (!Grouped) scales[h] = a.w.scales[channel + h];
      if (a.bias != nullptr) biases[h] = a.bias[channel + h];
    }
  }
};

/// Where a warpgroup's outputs go, and its own shared memory and barrier.
struct FloatUnitOutput {
  const WeightOnlyArguments& a;
  const TensorMap* y;
  ElementType type;
  unsigned char* room;  // of an OutputRoom, from a multiple of 1024 on
  int barrier;
};

/// Whether y can be written by the copy engine: of 16 bits, without residual, in whole pieces of 16 bytes.
[[nodiscard]] PLANISH_HOST_DEVICE inline bool stores_boxes(const WeightOnlyArguments& a, ElementType type) noexcept {
  return element_bytes(type) == 2 && a.residual == nullptr && reinterpret_cast<std::uintptr_t>(a.y) % 16 == 0 &&
         a.y_stride % 8 == 0 && a.w.channels % 8 == 0;
}

/// Such outputs, box by box: the copy engine reads the ones before meanwhile.
template <class Element, class Tile>
PLANISH_DEVICE void store_float_boxes(const float (&sums)[Tile::registers], const PairScales<Tile::grouped>& of,
                                      const FloatUnitOutput& out, int unit, int first_token) noexcept {
  using Room = typename Tile::Room;
  constexpr int count = Tile::tokens / Room::tokens;
  static_assert(count % Room::count == 0);  // so that every tile begins with the first room
  const int thread = settled_thread(), lane = thread % warp_size, channel = lane_channel(thread / warp_size, lane);
  unsigned char* const lines[2] = {out.room + line_byte(sum_token(lane, 0), channel),
                                   out.room + line_byte(sum_token(lane, 1), channel)};
  PLANISH_UNROLL
  for (int box = 0; box < count; ++box) {
    PLANISH_UNROLL
    for (int i = 0; i < Room::tokens / 8; ++i) PLANISH_UNROLL
    for (int b = 0; b < 2; ++b) {
      const int r = box * Room::tokens / 2 + 4 * i + b;
      float values[2];
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h)
        values[h] = fused_multiply_add(sums[r + next_channel * h], of.scales[h], of.biases[h]);
      *reinterpret_cast<std::uint32_t*>(lines[b] + box % Room::count * Room::box_bytes + i * 1024) =
          round_pair(Element{}, values[0], values[1]);
    }
    publish_to_products();                               // and to the copy engine
    if (thread == 0) wait_bulk_read<Room::count - 2>();  // what was in the room of the next box is read
    group_barrier(out.barrier, group_size);
    if (thread == 0) {
      store_box(out.y, out.room + box % Room::count * Room::box_bytes, unit * unit_channels * 2,
                first_token + box * Room::tokens);
      commit_bulk();
    }
  }
}

/// Some tokens' sums into shared memory.
template <int Tokens, int Registers>
PLANISH_DEVICE void keep_sums(const float (&sums)[Registers], unsigned char* room, int pass) noexcept {
  const int thread = settled_thread(), lane = thread % warp_size, channel = lane_channel(thread / warp_size, lane);
  PLANISH_UNROLL
  for (int i = 0; i < Tokens / 4; ++i) {
    const int r = Tokens / 2 * pass + register_of_pair(i);
    reinterpret_cast<Vector8*>(room)[sum_pair(sum_token(lane, register_of_pair(i)), channel)] = {
        {word_of(sums[r]), word_of(sums[r + next_channel])}};
  }
}

/// What outputs need of eight neighbouring channels.
template <bool Grouped>
struct EightFloats {
  int channel, count;  // the first, of all; how many of the eight exist
  float scales[8], biases[8];

  PLANISH_DEVICE EightFloats(const WeightOnlyArguments& a, int first) noexcept
      : channel(first), count(a.w.channels - first) {
    if (count <= 0) return;
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i) {  // side data is padded to whole units, the bias is the caller's
      scales[i] = Grouped ? 1.0f : a.w.scales[channel + i];
      biases[i] = a.bias == nullptr || i >= count ? 0.0f : a.bias[channel + i];
    }
  }
  /// Scales and stores the sums of one token. `column`: of eight channels in the unit, says how vectors of pairs are
  /// exchanged; `read(v)`: vector v of what keep_sums kept.
  template <class Read>
  PLANISH_DEVICE void store(const FloatUnitOutput& out, int token, int column, const Read& read) const noexcept {
    if (token >= out.a.rows || count <= 0) return;
    const int exchange = column / 2 % 4;
    float values[8];
    PLANISH_UNROLL
    for (int v = 0; v < 2; ++v) {  // vector v has pairs 2 v and 2 v + 1, exchanged
      const Vector16 four = read((exchange & 2) != 0 ? 1 - v : v);
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) {
        const int i = 4 * v + w;
        values[i] =
            fused_multiply_add(float_of((exchange & 1) != 0 ? four.words[w ^ 2] : four.words[w]), scales[i], biases[i]);
      }
    }
    if (out.a.residual != nullptr) {
      PLANISH_UNROLL
      for (int i = 0; i < 8; ++i)
        if (i < count) values[i] += load_element(out.a.residual, out.type, token * out.a.residual_stride + channel + i);
    }
    store_eight(out.a.y, out.type, token * out.a.y_stride + channel, values, count);
  }
};

/// Any outputs: the sums themselves go through shared memory.
template <class Tile>
PLANISH_DEVICE void store_any(const float (&sums)[Tile::registers], const FloatUnitOutput& out, int unit,
                              int first_token) noexcept {
  constexpr int tokens = Tile::tokens, eights = unit_channels / 8;
  constexpr int together = tokens < Tile::Room::sum_tokens ? tokens : Tile::Room::sum_tokens;
  const int thread = settled_thread();
  const EightFloats<Tile::grouped> channels(out.a, unit * unit_channels + thread % eights * 8);
  PLANISH_UNROLL
  for (int pass = 0; pass < tokens / together; ++pass) {
    group_barrier(out.barrier, group_size);
    keep_sums<together>(sums, out.room, pass);
    group_barrier(out.barrier, group_size);
    int item = thread;
    settle(item);  // addresses of all passes at once are more than the registers hold
    PLANISH_NO_UNROLL
    for (int i = item; i < together * eights; i += group_size)
      channels.store(out, first_token + pass * together + i / eights, i / eights,
                     [&](int v) { return reinterpret_cast<const Vector16*>(out.room)[2 * i + v]; });
  }
}

/// The part of the tokens of a unit that this block of a cluster stores: sums of the cluster's columns, in their order.
/// `kept`: what keep_sums kept at the same place in every block.
template <class Tile>
PLANISH_DEVICE void store_part(const FloatUnitOutput& out, int unit, int first_token, const unsigned char* kept,
                               int rank, int splits) noexcept {
  constexpr int tokens = Tile::tokens, eights = unit_channels / 8;
  const int thread = settled_thread();
  const EightFloats<Tile::grouped> channels(out.a, unit * unit_channels + thread % eights * 8);
  const int begin = tokens * rank / splits, end = tokens * (rank + 1) / splits;
  PLANISH_NO_UNROLL
  for (int i = begin * eights + thread; i < end * eights; i += group_size) {
    if (first_token + i / eights >= out.a.rows) break;
    float whole[2][4] = {};
    PLANISH_NO_UNROLL
    for (int block = 0; block < splits; ++block) PLANISH_UNROLL
    for (int v = 0; v < 2; ++v) {
      const Vector16 part = load_of_block(kept + (2 * i + v) * 16, block);
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) whole[v][w] += float_of(part.words[w]);
    }
    channels.store(out, first_token + i / eights, i / eights, [&](int v) {
      const float(&four)[4] = whole[v];
      return Vector16{{word_of(four[0]), word_of(four[1]), word_of(four[2]), word_of(four[3])}};
    });
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
