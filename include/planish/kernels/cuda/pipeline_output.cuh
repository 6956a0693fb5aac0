#pragma once
// The outputs of one warpgroup of a pipelined product, 64 channels × many tokens, from registers to memory: through
// shared memory, so that whole lines are written.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/multiply_output.cuh>
#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

// A warpgroup's sums have the fragments of multiply_group; its channels have the deal of matrix_fragments.cuh, but
// every eight lanes read another tile of it: a thread has two neighbouring channels of two neighbouring tokens of every
// eight, and what a warp writes of them falls on all banks.

/// Which tile of a unit's weights a lane reads.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int lane_tile(int warp, int lane) noexcept { return warp % 4 ^ lane / 8; }
/// The first of a lane's two channels, of 64.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int lane_channel(int warp, int lane) noexcept {
  return 8 * (lane / 4) + 2 * lane_tile(warp, lane);
}
/// The token (of the warpgroup's) of register `r` of a lane's sums.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int sum_token(int lane, int r) noexcept {
  return r / 4 * 8 + 2 * (lane % 4) + r % 2;
}
/// The register of pair i of a thread; that of its second channel lies `next_channel` behind it.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int register_of_pair(int i) noexcept { return i / 2 * 4 + i % 2; }
inline constexpr int next_channel = 2;

/// Where a channel of 64 lies in shared memory in 16 bits, of a line of 128 bytes per token: as copy_box would bring
/// it.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int line_byte(int token, int channel) noexcept {
  return token * 128 + (channel / 8 ^ token % 8) * 16 + channel % 8 * 2;
}
/// Where a pair of channels lies as sums, of 8 bytes each.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int sum_pair(int token, int channel) noexcept {
  return token * 32 + channel / 8 * 4 + (channel / 2 % 4 ^ token / 2 % 4);
}

/// Room of a warpgroup for its outputs: `Count` boxes of `Tokens` lines each, or sums of half as many.
template <int Tokens, int Count>
struct OutputRoom {
  static constexpr int tokens = Tokens, count = Count;
  static constexpr int box_bytes = Tokens * 128, bytes = Count * box_bytes;
  static constexpr int sum_tokens = bytes / 256;
};

/// What the outputs of a thread need, asked for before the products and kept in registers meanwhile.
template <int Tokens>
struct OutputScales {
  static constexpr int each = (Tokens + group_size - 1) / group_size;  // tokens per thread
  float tokens[each], channels[2], biases[2];

  PLANISH_DEVICE OutputScales(const MultiplyArguments& a, int unit, int first_token) noexcept {
    const int thread = thread_index() % group_size;
    const int channel = unit * unit_channels + lane_channel(thread / warp_size, thread % warp_size);
    PLANISH_UNROLL
    for (int i = 0; i < each; ++i) {
      const int token = first_token + thread + i * group_size;
      tokens[i] = token < static_cast<int>(a.x.rows) ? a.x.scales[token] : 0.0f;
    }
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      const bool exists = channel + h < a.w.channels;
      channels[h] = exists ? a.w.scales[channel + h] : 0.0f;
      biases[h] = exists && a.bias != nullptr ? a.bias[channel + h] : 0.0f;
    }
  }
  PLANISH_DEVICE void keep_tokens(float* shared) const noexcept {
    const int thread = thread_index() % group_size;
    PLANISH_UNROLL
    for (int i = 0; i < each; ++i)
      if (Tokens % group_size == 0 || thread < Tokens) shared[thread + i * group_size] = tokens[i];
  }
};

/// Where a warpgroup's outputs go, and its own shared memory and barrier.
struct UnitOutput {
  const MultiplyArguments& a;
  const TensorMap* y;
  ElementType type;
  unsigned char* room;  // of an OutputRoom, from a multiple of 1024 on
  float* scales;        // of the tokens
  int barrier;
};

/// Whether y can be written by the copy engine: of 16 bits, without zero points and residual, and in whole pieces of 16
/// bytes, because the engine writes no parts of them.
[[nodiscard]] PLANISH_HOST_DEVICE inline bool stores_boxes(const MultiplyArguments& a, ElementType type) noexcept {
  return element_bytes(type) == 2 && a.w.zeros == nullptr && a.x.zero_points == nullptr && a.residual == nullptr &&
         reinterpret_cast<std::uintptr_t>(a.y) % 16 == 0 && a.y_stride % 8 == 0 && a.w.channels % 8 == 0;
}

/// Such outputs, box by box: the copy engine reads the ones before meanwhile.
template <class Element, class Tile>
PLANISH_DEVICE void store_rounded(const int (&sums)[Tile::registers], const OutputScales<Tile::tokens>& scales,
                                  const UnitOutput& out, int unit, int first_token) noexcept {
  using Room = typename Tile::Room;
  constexpr int count = Tile::tokens / Room::tokens;
  static_assert(count % Room::count == 0);  // so that every tile begins with the first room
  const int thread = thread_index() % group_size, lane = thread % warp_size;
  const int channel = lane_channel(thread / warp_size, lane);
  unsigned char* const lines[2] = {out.room + line_byte(sum_token(lane, 0), channel),
                                   out.room + line_byte(sum_token(lane, 1), channel)};
  constexpr int eights = Room::tokens / 8;
  struct alignas(8) Pair {
    float scales[2];
  };
  Pair tokens[eights];  // scales of a box, asked for while the one before is handed over
  const auto ask = [&](int box) {
    PLANISH_UNROLL
    for (int i = 0; i < eights; ++i)
      tokens[i] = *reinterpret_cast<const Pair*>(out.scales + box * Room::tokens + 8 * i + 2 * (lane % 4));
  };
  ask(0);
  PLANISH_UNROLL
  for (int box = 0; box < count; ++box) {
    PLANISH_UNROLL
    for (int i = 0; i < eights; ++i) PLANISH_UNROLL
    for (int b = 0; b < 2; ++b) {
      const float scale = tokens[i].scales[b];
      const int r = box * Room::tokens / 2 + 4 * i + b;
      float values[2];
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h)
        values[h] =
            rescale(sums[r + next_channel * h] >> Tile::factor_bits, scale, scales.channels[h], scales.biases[h]);
      *reinterpret_cast<std::uint32_t*>(lines[b] + box % Room::count * Room::box_bytes + i * 1024) =
          round_pair(Element{}, values[0], values[1]);
    }
    if (box + 1 < count) ask(box + 1);
    publish_to_products();  // and to the copy engine
    // What was in the room of the next box is read.
    if (Room::count > 1 && thread == 0) wait_bulk_read<(Room::count > 1 ? Room::count - 2 : 0)>();
    group_barrier(out.barrier, group_size);
    if (thread == 0) {
      store_box(out.y, out.room + box % Room::count * Room::box_bytes, unit * unit_channels * 2,
                first_token + box * Room::tokens);
      commit_bulk();
      if (Room::count == 1) wait_bulk_read<0>();
    }
    if (Room::count == 1) group_barrier(out.barrier, group_size);
  }
}

/// Some tokens' sums into shared memory.
template <int Tokens, int Registers>
PLANISH_DEVICE void keep_sums(const int (&sums)[Registers], unsigned char* room, int pass) noexcept {
  const int lane = thread_index() % warp_size, channel = lane_channel(thread_index() / warp_size, lane);
  PLANISH_UNROLL
  for (int i = 0; i < Tokens / 4; ++i) {
    const int r = Tokens / 2 * pass + register_of_pair(i);
    reinterpret_cast<Vector8*>(room)[sum_pair(sum_token(lane, register_of_pair(i)), channel)] = {
        {static_cast<std::uint32_t>(sums[r]), static_cast<std::uint32_t>(sums[r + next_channel])}};
  }
}

/// Rescales and stores eight channels of a token. `read(v)`: vector v of 16 bytes of what keep_sums kept of them.
template <int FactorBits, class Read>
PLANISH_DEVICE void store_kept(const EightChannels& channels, const UnitOutput& out, int token, int column,
                               const Read& read) noexcept {
  if (token >= static_cast<int>(out.a.x.rows) || channels.count <= 0) return;
  const int exchange = column / 2 % 4;
  std::int32_t products[8];
  PLANISH_UNROLL
  for (int v = 0; v < 2; ++v) {  // vector v has pairs 2 v and 2 v + 1, exchanged
    const Vector16 four = read((exchange & 2) != 0 ? 1 - v : v);
    PLANISH_UNROLL
    for (int w = 0; w < 4; ++w)
      products[4 * v + w] =
          static_cast<std::int32_t>((exchange & 1) != 0 ? four.words[w ^ 2] : four.words[w]) >> FactorBits;
  }
  channels.store(products, out.a, out.type, token);
}

/// Any outputs: the sums themselves go through shared memory.
template <class Tile>
PLANISH_DEVICE void store_any(const int (&sums)[Tile::registers], const UnitOutput& out, int unit,
                              int first_token) noexcept {
  constexpr int tokens = Tile::tokens, eights = unit_channels / 8;
  constexpr int together = tokens < Tile::Room::sum_tokens ? tokens : Tile::Room::sum_tokens;
  const EightChannels channels(out.a, unit * unit_channels + thread_index() % eights * 8);
  PLANISH_UNROLL
  for (int pass = 0; pass < tokens / together; ++pass) {
    group_barrier(out.barrier, group_size);
    keep_sums<together>(sums, out.room, pass);
    group_barrier(out.barrier, group_size);
    int item = thread_index() % group_size;
    settle(item);  // addresses of all passes at once are more than the registers hold
    PLANISH_NO_UNROLL
    for (int i = item; i < together * eights; i += group_size)
      store_kept<Tile::factor_bits>(channels, out, first_token + pass * together + i / eights, i / eights,
                                    [&](int v) { return reinterpret_cast<const Vector16*>(out.room)[2 * i + v]; });
  }
}

/// Joins the sums of a cluster, whose blocks have other columns of the same outputs each, and stores a part of them.
/// `kept`: of shared memory, this warpgroup's 256 bytes per token; nobody in the block uses it any more.
template <class Tile>
PLANISH_DEVICE void store_split(const int (&sums)[Tile::registers], const UnitOutput& out, int unit, int first_token,
                                unsigned char* kept, int rank, int splits) noexcept {
  constexpr int tokens = Tile::tokens, eights = unit_channels / 8;
  const int thread = thread_index() % group_size;
  keep_sums<tokens>(sums, kept, 0);
  cluster_barrier();
  const EightChannels channels(out.a, unit * unit_channels + thread % eights * 8);
  const int begin = tokens * rank / splits, end = tokens * (rank + 1) / splits;
  PLANISH_NO_UNROLL
  for (int i = begin * eights + thread; i < end * eights; i += group_size) {
    Vector16 whole[2] = {};
    PLANISH_NO_UNROLL
    for (int block = 0; block < splits; ++block) PLANISH_UNROLL
    for (int v = 0; v < 2; ++v) {
      const Vector16 part = load_of_block(kept + (2 * i + v) * 16, block);
      PLANISH_UNROLL
      for (int w = 0; w < 4; ++w) whole[v].words[w] += part.words[w];
    }
    store_kept<Tile::factor_bits>(channels, out, first_token + i / eights, i / eights,
                                  [&](int v) { return v == 0 ? whole[0] : whole[1]; });
  }
  cluster_barrier();  // the others have read what this block kept
}

/// Rescales and stores a warpgroup's sums.
template <class Tile>
PLANISH_DEVICE void store_unit(const int (&sums)[Tile::registers], const OutputScales<Tile::tokens>& scales,
                               const UnitOutput& out, int unit, int first_token) noexcept {
  if (!stores_boxes(out.a, out.type))
    store_any<Tile>(sums, out, unit, first_token);
  else if (out.type == ElementType::bfloat16)
    store_rounded<BFloat16, Tile>(sums, scales, out, unit, first_token);
  else
    store_rounded<Half, Tile>(sums, scales, out, unit, first_token);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
