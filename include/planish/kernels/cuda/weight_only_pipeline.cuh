#pragma once
// Weight-only products for many tokens on Hopper: one warp asks the copy engine for weights and tokens, two warpgroups
// turn codes into 16-bit floats in registers and multiply. Blocks stay and walk over tiles; where there are few tiles,
// the blocks of a cluster share the columns of one and its outputs.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/multiply_pipeline.cuh>
#include <planish/kernels/cuda/weight_only_cluster.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of weight_only_pipeline: 128·Halves channels × `Tokens` (64, 128). With `Grouped`, any groups of
/// columns; else one scale per channel.
template <class Element, int StoredBits, int Halves, int Tokens, int Stages, bool Grouped>
struct WeightOnlyPipeline {
  using E = Element;  // of x
  static constexpr int stored_bits = StoredBits, halves = Halves, tokens = Tokens, stages = Stages;
  static constexpr bool grouped = Grouped;
  static constexpr int channel_warps = 2 * halves;  // units of channels
  static constexpr int consumers = 2 * group_size, threads = 3 * group_size;
  static constexpr int half_registers = tokens / 2;  // sums of a thread and 128 channels
  static constexpr int blocks_at_once = 1, split_columns = 4 * float_unit_columns, most_splits = 8;
  static constexpr int unit_bytes = float_unit_bytes(StoredBits);
  static constexpr int token_bytes = tokens * box_columns;  // of a stage; they come first: 1024-byte boundaries
  static constexpr int stage_bytes = token_bytes + channel_warps * unit_bytes;
  struct Ends {
    unsigned char lines[2 * 64 * unit_channels * 4];  // of FloatTileOutputs
    MemoryBarrier full[Stages], empty[Stages];
  };
  static constexpr int shared_bytes = 1024 + Stages * stage_bytes + static_cast<int>(sizeof(Ends));
  static_assert(Stages * stage_bytes >= consumers * halves * half_registers * 4);  // a cluster's meeting
};

/// The tokens of 16 bits as the copy engine reads them: becomes a kernel's argument where one is launched.
struct FloatTokenMap {
  void* encode;
  const WeightOnlyArguments& a;
  int box_rows;

  [[nodiscard]] bool describe(TensorMap& map) const noexcept {
    return describe_rows(encode, {a.x, a.rows, 2 * index{a.w.columns}, 2 * a.x_stride}, box_rows, map);
  }
  explicit operator TensorMap() const noexcept {
    TensorMap map = {};
    static_cast<void>(describe(map));  // `check` has refused what cannot be described
    return map;
  }
};

/// The tiles of a block, and its columns: those of a cluster have the same tile.
template <class Tile>
struct FloatTileWalk {
  int channel_tiles, token_tiles, tile, step, begin, end;
  int channel_tile = 0, token_tile = 0;

  PLANISH_DEVICE FloatTileWalk(int all_channel_tiles, int all_token_tiles, int units, int splits) noexcept
      : channel_tiles(all_channel_tiles),
        token_tiles(all_token_tiles),
        tile(block_index() / splits),
        step(block_count() / splits),
        begin(units * (block_index() % splits) / splits),
        end(units * (block_index() % splits + 1) / splits) {}
  PLANISH_DEVICE bool here() noexcept {
    if (tile >= channel_tiles * token_tiles) return false;
    const TilePlace place = tile_place(tile, channel_tiles, token_tiles);
    channel_tile = place.channel_tile;
    token_tile = place.token_tile;
    return true;
  }
  PLANISH_DEVICE void next() noexcept { tile += step; }
};

template <class Tile>
PLANISH_DEVICE void fetch_float_stages(const WeightOnlyArguments& a, const TensorMap* tokens, unsigned char* ring,
                                       typename Tile::Ends& ends, FloatTileWalk<Tile> walk) noexcept {
  const std::int64_t next_unit = std::int64_t{a.w.column_units()} * Tile::unit_bytes;
  RingPlace<Tile> place;
  for (; walk.here(); walk.next()) {
    const int first = walk.channel_tile * Tile::channel_warps, left = a.w.channel_units() - first;
    const int exist = left < Tile::channel_warps ? left : Tile::channel_warps;
    const std::uint8_t* weights = a.w.units + first * next_unit + std::int64_t{walk.begin} * Tile::unit_bytes;
    PLANISH_NO_UNROLL
    for (int unit = walk.begin; unit < walk.end; ++unit, weights += Tile::unit_bytes, place.next()) {
      unsigned char* const stage = ring + place.stage * Tile::stage_bytes;
      MemoryBarrier* const full = &ends.full[place.stage];
      wait_phase(&ends.empty[place.stage], place.parity ^ 1);
      arrive_expecting(full, Tile::token_bytes + exist * Tile::unit_bytes);
      copy_box(stage, tokens, unit * box_columns, walk.token_tile * Tile::tokens, full);
      for (int i = 0; i < exist; ++i)
        copy_bulk(stage + Tile::token_bytes + i * Tile::unit_bytes, weights + i * next_unit, Tile::unit_bytes, full);
    }
  }
}

/// What a thread of a warpgroup has of its outputs: two channels of every 128, and their scales and zero points.
template <class Tile>
struct PipelineSums {
  static constexpr int halves = Tile::halves, count = Tile::half_registers;
  GroupSide<2> side[halves] = {};
  float parts[halves][count] = {}, whole[Tile::grouped ? halves : 1][count] = {};
  bool add = !Tile::grouped;

  /// Where a unit does not exist, scales stand in that nobody uses.
  PLANISH_DEVICE static int unit_of(const WeightOnlyArguments& a, int channel_tile, int j) noexcept {
    const int unit = channel_tile * Tile::channel_warps + 2 * j + thread_index() / group_size;
    return unit < a.w.channel_units() ? unit : 0;
  }
  PLANISH_DEVICE void begin(const WeightOnlyArguments& a, int channel_tile, int unit) noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j)
      side[j].begin(a.w, unit_of(a, channel_tile, j), pair_channel(), unit * float_unit_columns);
  }
  /// Starts the products of half a stage; those of the half before are done.
  PLANISH_DEVICE void multiply(const unsigned char* stage, int half) noexcept {
    using E = typename Tile::E;
    const unsigned char* const weights = stage + Tile::token_bytes + thread_index() / group_size * Tile::unit_bytes;
    std::uint32_t fragments[halves][2][4];
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      const auto packed =
          LaneWords<Tile::stored_bits>::load(weights + 2 * j * Tile::unit_bytes, half, thread_index() / warp_size % 4);
      expand_fragment<E, 0>(packed, side[j].zeros, fragments[j][0]);
      expand_fragment<E, 1>(packed, side[j].zeros, fragments[j][1]);
    }
    begin_products();
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) multiply_group(E{}, parts[j], fragments[j][0], stage, 64 * half, add);
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) multiply_group(E{}, parts[j], fragments[j][1], stage, 64 * half + 32, true);
    commit_products();
    wait_products<1>();
  }
  /// Ends the group, if it does with these 32 columns.
  PLANISH_DEVICE void end_columns(const WeightOnlyArguments& a, int channel_tile) noexcept {
    add = true;
    bool ends = false;
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) ends = side[j].ends_after(32);
    if (!ends) return;
    wait_products<0>();
    add_scaled();
    add = false;
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) side[j].next(a.w, unit_of(a, channel_tile, j), pair_channel());
  }
  PLANISH_DEVICE void add_scaled() noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) {
      settle(parts[j]);
      PLANISH_UNROLL
      for (int i = 0; i < count; ++i)
        whole[j][i] = fused_multiply_add(parts[j][i], side[j].scales[i % 4 / 2], whole[j][i]);
    }
  }
  /// The sums, scaled, once no product is under way.
  PLANISH_DEVICE float (&scaled(const WeightOnlyArguments& a, int channel_tile, int unit) noexcept)[halves][count] {
    if constexpr (Tile::grouped) {
      if (add) add_scaled();
      return whole;
    } else {
      begin(a, channel_tile, unit);  // scales that were not kept
      PLANISH_UNROLL
      for (int j = 0; j < halves; ++j) {
        settle(parts[j]);
        PLANISH_UNROLL
        for (int i = 0; i < count; ++i) parts[j][i] = parts[j][i] * side[j].scales[i % 4 / 2];
      }
      return parts;
    }
  }
};

/// This warp's products of a stage are done.
template <class Tile>
PLANISH_DEVICE void release_float_stage(typename Tile::Ends& ends, int stage) noexcept {
  warp_barrier();
  if (thread_index() % warp_size == 0) arrive(&ends.empty[stage]);
}

template <class Tile>
PLANISH_DEVICE void multiply_float_stages(const WeightOnlyArguments& a, ElementType type, unsigned char* ring,
                                          typename Tile::Ends& ends, FloatTileWalk<Tile> walk, int splits) noexcept {
  RingPlace<Tile> place;
  for (; walk.here(); walk.next()) {
    PipelineSums<Tile> sums;
    if (walk.begin < walk.end) sums.begin(a, walk.channel_tile, walk.begin);
    int before = -1;
    PLANISH_NO_UNROLL
    for (int unit = walk.begin; unit < walk.end; ++unit) {
      wait_phase(&ends.full[place.stage], place.parity);
      PLANISH_UNROLL
      for (int half = 0; half < 2; ++half) {
        sums.multiply(ring + place.stage * Tile::stage_bytes, half);
        if (half == 0 && before >= 0) release_float_stage<Tile>(ends, before);
        if constexpr (Tile::grouped) sums.end_columns(a, walk.channel_tile);
      }
      before = place.stage;
      place.next();
    }
    wait_products<0>();
    if (before >= 0) release_float_stage<Tile>(ends, before);
    const FloatTileOutputs<Tile> outputs{a, type, walk.channel_tile, walk.token_tile, ends.lines};
    auto& all = sums.scaled(a, walk.channel_tile, walk.begin);
    outputs.store(all, ring, splits);
  }
}

/// blocks: with splits the cluster is as large, and there is one for every tile; else at most one block per
/// multiprocessor.
template <class Tile>
PLANISH_KERNEL(Tile::threads, 1)
weight_only_pipeline(WeightOnlyArguments a, PLANISH_GRID_CONSTANT const TensorMap tokens, ElementType type,
                     int channel_tiles, int token_tiles, int splits) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  unsigned char* const memory = shared_memory();
  unsigned char* const ring = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
  auto& ends = *reinterpret_cast<typename Tile::Ends*>(ring + Tile::stages * Tile::stage_bytes);
  if (thread_index() == 0) {
    PLANISH_UNROLL
    for (int s = 0; s < Tile::stages; ++s) {
      start_barrier(&ends.full[s], 1);
      start_barrier(&ends.empty[s], Tile::consumers / warp_size);
    }
    publish_barriers();
  }
  block_barrier();
  let_next_kernel_start();
  wait_for_kernel_before();
  const FloatTileWalk<Tile> walk(channel_tiles, token_tiles, a.w.column_units(), splits);
  if (thread_index() >= Tile::consumers) {
    give_registers<40>();
    if (thread_index() == Tile::consumers) fetch_float_stages<Tile>(a, &tokens, ring, ends, walk);
    warp_barrier();
    if (splits > 1) cluster_barrier();
  } else {
    take_registers<232>();
    multiply_float_stages<Tile>(a, type, ring, ends, walk, splits);
  }
  if (splits > 1) cluster_barrier();  // the others still read the sums of this block
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
