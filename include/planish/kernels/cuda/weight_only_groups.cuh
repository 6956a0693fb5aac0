#pragma once
// Weight-only products for many tokens on Hopper: two warpgroups share the tokens of a block. Weights go from shared
// memory through registers, where codes become 16-bit floats, into the products; tokens stay in shared memory.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_output.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of weight_only_groups: 128 channels × 128 tokens with any groups of columns, or, with `Wide`, 256
/// channels × 128 tokens with one scale per channel. A stage has 128 columns.
template <class Element, int StoredBits, bool Wide, int Stages>
struct WeightOnlyGroup {
  using E = Element;  // of x
  static constexpr int stored_bits = StoredBits, stages = Stages;
  static constexpr bool wide = Wide;
  static constexpr int halves = Wide ? 2 : 1;       // 128 channels each, of which a warpgroup has a unit
  static constexpr int channel_warps = 2 * halves;  // units of channels
  static constexpr int threads = 2 * group_size, tokens = 128;
  static constexpr int half_registers = tokens / 2;  // sums of a thread
  static constexpr int registers = halves * half_registers;
  static constexpr int warp_words = registers * warp_size;
  static constexpr int split_slots = threads / warp_size;  // of a tile
  static constexpr int blocks_at_once = 1;
  static constexpr int stage_units = 2;  // of columns
  static constexpr int split_columns = stage_units * float_unit_columns;
  static constexpr int tile_bytes = tokens * 128;  // of the tokens of a unit: they come first: 1024-byte boundaries
  static constexpr int unit_bytes = float_unit_bytes(StoredBits);
  static constexpr int token_bytes = stage_units * tile_bytes;
  static constexpr int stage_bytes = token_bytes + channel_warps * stage_units * unit_bytes;
  static constexpr int shared_bytes = Stages * stage_bytes + 1024;
};

/// Where a thread finds its 16-byte pieces of every stage: always the same piece of rows 32 apart, and of the weights
/// the same of every unit of channels, of which two column units lie behind each other.
template <class Tile>
struct FloatGroupFetcher {
  static constexpr int rows_on = Tile::threads / 8;
  static constexpr int channel_bytes = Tile::stage_units * Tile::unit_bytes;  // of a stage and a unit of channels
  const unsigned char* tokens;                                                // this thread's piece of its first row
  const std::uint8_t* weights;                                                // of the block's first unit of channels
  std::int64_t rows_on_bytes, next_channels;
  int rows_left, columns_left, units_left, channels_left, token_place;

  PLANISH_DEVICE FloatGroupFetcher(const WeightOnlyArguments& a, const TilePlace& place) noexcept {
    const int thread = thread_index(), token = place.token_tile * Tile::tokens + thread / 8;
    columns_left = a.w.columns - thread % 8 * 8;
    rows_left = a.rows - token;
    rows_on_bytes = 2 * rows_on * a.x_stride;
    tokens = static_cast<const unsigned char*>(a.x) + 2 * (token * a.x_stride + thread % 8 * 8);
    token_place = token_chunk_offset(thread / 8, thread % 8);  // rows_on is a multiple of 8: only rows change
    next_channels = std::int64_t{a.w.column_units()} * Tile::unit_bytes;
    weights = a.w.units + place.channel_tile * Tile::channel_warps * next_channels + thread * 16;
    units_left = a.w.column_units();
    channels_left = a.w.channel_units() - place.channel_tile * Tile::channel_warps;
  }

  /// From column unit `unit` on; `anywhere`: an address that is read nowhere.
  PLANISH_DEVICE void fetch(unsigned char* stage, int unit, const void* anywhere) const noexcept {
    PLANISH_UNROLL
    for (int c = 0; c < Tile::stage_units; ++c) {
      const int left = columns_left - (unit + c) * float_unit_columns;
      const int bytes = left <= 0 ? 0 : left < 8 ? 2 * left : 16;
      const unsigned char* from = tokens + (unit + c) * (2 * float_unit_columns);
      PLANISH_UNROLL
      for (int i = 0; i < Tile::tokens / rows_on; ++i) {
        const bool exists = bytes > 0 && i * rows_on < rows_left;
        copy_async_16(stage + c * Tile::tile_bytes + token_place + i * rows_on * 128, exists ? from : anywhere,
                      exists ? bytes : 0);
        from += rows_on_bytes;
      }
    }
    const std::uint8_t* first = weights + std::int64_t{unit} * Tile::unit_bytes;
    unsigned char* const to = stage + Tile::token_bytes + thread_index() * 16;
    PLANISH_UNROLL
    for (int u = 0; u < Tile::channel_warps; ++u) {
      PLANISH_UNROLL
      for (int at = 0; at < channel_bytes; at += Tile::threads * 16) {
        const int within = at + thread_index() * 16;
        if (channel_bytes < Tile::threads * 16 && within >= channel_bytes) continue;
        const bool exists = u < channels_left && unit + within / Tile::unit_bytes < units_left;
        copy_async_16(to + u * channel_bytes + at, exists ? first + at : anywhere, exists ? 16 : 0);
      }
      first += next_channels;
    }
  }
};

/// Multiplies this warp's 16 channels by 32 columns: half `half` of a unit, from shared memory as its tokens.
template <class Tile>
PLANISH_DEVICE void multiply_half(float (&sums)[Tile::half_registers], const unsigned char* unit,
                                  const unsigned char* tokens, int half, const std::uint32_t* zeros,
                                  bool add) noexcept {
  using E = typename Tile::E;
  const auto packed = LaneWords<Tile::stored_bits>::load(unit, half, thread_index() / warp_size % 4);
  std::uint32_t first[4], second[4];
  expand_fragment<E, 0>(packed, zeros, first);
  expand_fragment<E, 1>(packed, zeros, second);
  begin_products();
  multiply_group(E{}, sums, first, tokens, 64 * half, add);
  multiply_group(E{}, sums, second, tokens, 64 * half + 32, true);
  commit_products();
}

/// As join_float_splits, for all warps of a block together; `word`: of shared memory that nobody else uses.
template <class Tile>
PLANISH_DEVICE bool join_float_blocks(float* sums, void* workspace, int tile, int tiles, int split, int splits,
                                      int* word) noexcept {
  if (splits == 1) return true;
  constexpr int warps = Tile::threads / warp_size;
  const std::int64_t slot = std::int64_t{tile} * warps + thread_index() / warp_size;
  auto* const counter = static_cast<std::int32_t*>(workspace) + tile;
  leave_sums<Tile::registers>(sums, split_words(workspace, slot, tiles * warps, split, splits, Tile::registers));
  device_fence();
  block_barrier();
  if (thread_index() == 0) *word = atomic_add(counter, 1);
  block_barrier();
  if (*word != splits - 1) return false;
  device_fence();
  gather_sums<Tile::registers>(sums, split_words(workspace, slot, tiles * warps, 0, splits, Tile::registers), splits);
  if (thread_index() == 0) *counter = 0;
  return true;
}

/// blocks = channel tiles × token tiles × splits, split slowest.
template <class Tile>
PLANISH_KERNEL(Tile::threads, 1)
weight_only_groups(WeightOnlyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  constexpr int halves = Tile::halves, count = Tile::half_registers, unit_bytes = Tile::unit_bytes;
  const TilePlace place = tile_place(block_index(), channel_tiles, token_tiles);
  const int steps = (a.w.column_units() + Tile::stage_units - 1) / Tile::stage_units;
  const int begin = static_cast<int>(std::int64_t{steps} * place.split / splits);
  const int end = static_cast<int>(std::int64_t{steps} * (place.split + 1) / splits);
  unsigned char* const memory = shared_memory();
  unsigned char* const ring = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
  const FloatGroupFetcher<Tile> fetcher(a, place);
  PLANISH_UNROLL
  for (int s = 0; s < Tile::stages - 2; ++s) {
    if (begin + s < end) fetcher.fetch(ring + s * Tile::stage_bytes, (begin + s) * Tile::stage_units, a.w.units);
    commit_copies();
  }
  const int group = thread_index() / group_size;
  const int first = pair_channel() % unit_channels;  // of a unit's channels
  const auto unit_of = [&](int j) {                  // where it does not exist, scales stand in that nobody uses
    const int unit = place.channel_tile * Tile::channel_warps + 2 * j + group;
    return unit < a.w.channel_units() ? unit : 0;
  };
  const int column = begin * Tile::stage_units * float_unit_columns;
  GroupSide<2> side = {};
  std::uint32_t zeros[halves][2] = {};
  PLANISH_UNROLL
  for (int j = 0; j < halves; ++j) {
    if (begin < end) side.begin(a.w, unit_of(j), first, column);
    zeros[j][0] = side.zeros[0];
    zeros[j][1] = side.zeros[1];
  }
  float parts[halves][count] = {}, whole[Tile::wide ? 1 : count] = {};
  bool add = Tile::wide;
  int stage = 0, free_stage = Tile::stages - 2;
  PLANISH_NO_UNROLL
  for (int step = begin; step < end; ++step) {
    wait_copies<Tile::stages - 3>();
    publish_to_products();
    block_barrier();  // this stage has come; the products of the one before the last are done
    const int next = step + Tile::stages - 2;
    if (next < end) fetcher.fetch(ring + free_stage * Tile::stage_bytes, next * Tile::stage_units, a.w.units);
    commit_copies();
    const unsigned char* const tokens = ring + stage * Tile::stage_bytes;
    const unsigned char* const weights = tokens + Tile::token_bytes + group * Tile::stage_units * unit_bytes;
    PLANISH_UNROLL
    for (int c = 0; c < Tile::stage_units; ++c) PLANISH_UNROLL
    for (int half = 0; half < 2; ++half) {
      PLANISH_UNROLL
      for (int j = 0; j < halves; ++j) {
        multiply_half<Tile>(parts[j], weights + (2 * j * Tile::stage_units + c) * unit_bytes,
                            tokens + c * Tile::tile_bytes, half, Tile::wide ? zeros[j] : side.zeros, add);
        wait_products<1>();  // the fragments of the products before may be written again
      }
      if constexpr (!Tile::wide) {
        add = true;
        if (side.ends_after(32)) {
          wait_products<0>();
          settle(parts[0]);
          PLANISH_UNROLL
          for (int i = 0; i < count; ++i) whole[i] = fused_multiply_add(parts[0][i], side.scales[i % 4 / 2], whole[i]);
          add = false;
          side.next(a.w, unit_of(0), first);
        }
      }
    }
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Tile::stages ? 0 : free_stage + 1;
  }
  wait_products<0>();
  PLANISH_UNROLL
  for (int j = 0; j < halves; ++j) settle(parts[j]);
  if constexpr (Tile::wide) {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      if (begin < end) side.begin(a.w, unit_of(j), first, column);
      PLANISH_UNROLL
      for (int i = 0; i < count; ++i) parts[j][i] = parts[j][i] * side.scales[i % 4 / 2];
    }
  } else if (add) {
    PLANISH_UNROLL
    for (int i = 0; i < count; ++i) whole[i] = fused_multiply_add(parts[0][i], side.scales[i % 4 / 2], whole[i]);
  }
  float* const sums = Tile::wide ? &parts[0][0] : whole;
  wait_copies<0>();
  block_barrier();  // nobody reads the ring any more
  const int tile = place.channel_tile * token_tiles + place.token_tile;
  if (!join_float_blocks<Tile>(sums, a.workspace, tile, channel_tiles * token_tiles, place.split, splits,
                               reinterpret_cast<int*>(ring + (Tile::stages - 1) * Tile::stage_bytes)))
    return;
  PLANISH_UNROLL
  for (int j = 0; j < halves; ++j) {
    const GroupOutput out{a.y,
                          a.y_stride,
                          a.residual,
                          a.residual_stride,
                          type,
                          a.rows,
                          a.w.channels,
                          (place.channel_tile * halves + j) * 2 * unit_channels,
                          place.token_tile * Tile::tokens};
    float biases[2] = {};
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int channel = out.first_channel + pair_channel() + h;
      if (a.bias != nullptr && channel < out.channels) biases[h] = a.bias[channel];
    }
    if (j > 0) block_barrier();  // nobody reads the outputs before any more
    store_group_pairs<Tile::tokens, Tile::threads>(
        out, ring, [&](int i, int h) { return sums[j * count + pair_register(i) + 2 * h] + biases[h]; });
  }
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
