#pragma once
// Weight-only products for many tokens on Hopper: a few threads ask the copy engine for weights and tokens, two
// warpgroups turn codes into 16-bit floats in registers and multiply. Blocks stay and walk over tiles; where there are
// few tiles, the blocks of a cluster share the columns of one and its outputs.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/multiply_pipeline.cuh>
#include <planish/kernels/cuda/weight_only_pipeline_output.cuh>
#include <planish/kernels/cuda/weight_only_sums.cuh>
#include <planish/kernels/cuda/weight_units.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of weight_only_pipeline: 128 channels × `Tokens` (64, 128, 256). With `Grouped` (up to 128 tokens),
/// any groups of columns; else one scale per channel.
template <class Element, int StoredBits, int Tokens, int Stages, bool Grouped>
struct WeightOnlyPipeline {
  using E = Element;  // of x
  static constexpr int stored_bits = StoredBits, tokens = Tokens, stages = Stages;
  static constexpr bool grouped = Grouped;
  static constexpr int channel_warps = 2;  // warpgroups that multiply, one unit of channels each
  static constexpr int threads = 3 * group_size;
  static constexpr int registers = tokens / 2;  // sums of a thread
  static constexpr int blocks_at_once = 1, split_columns = 4 * float_unit_columns;
  using Room = OutputRoom<(Tokens < 128 ? Tokens / 2 : 64), 2>;
  static constexpr int output_rows = Room::tokens;          // of tokens that leave at once
  static constexpr int token_bytes = tokens * box_columns;  // of a stage; they come first: 1024-byte boundaries
  static constexpr int unit_bytes = float_unit_bytes(StoredBits), weight_bytes = channel_warps * unit_bytes;
  static constexpr int stage_bytes = token_bytes + weight_bytes;
  struct alignas(1024) Ends {
    unsigned char rooms[2][Room::bytes];
    MemoryBarrier full[Stages], empty[Stages];
  };
  // The ring begins at a multiple of 1024 bytes, the block's memory at one of 128.
  static constexpr int shared_bytes = 1024 - 128 + Stages * stage_bytes + 2 * (Room::bytes + Stages * 8);
  static constexpr int kept_bytes = tokens * unit_channels * 4;  // of a warpgroup, where a cluster joins its sums
  static_assert(Stages * stage_bytes >= channel_warps * kept_bytes && stage_bytes % 1024 == 0);
};

/// The tokens of 16 bits, and the outputs, as the copy engine reads and writes them.
[[nodiscard]] inline RowsMap tokens_map(void* encode, const WeightOnlyArguments& a, int box_rows) noexcept {
  return {encode, {a.x, a.rows, 2 * index{a.w.columns}, 2 * a.x_stride}, box_rows};
}
[[nodiscard]] inline RowsMap output_map(void* encode, const WeightOnlyArguments& a, ElementType type,
                                        int box_rows) noexcept {
  return {encode, {a.y, a.rows, 2 * index{a.w.channels}, a.y_stride * element_bytes(type)}, box_rows};
}

/// What a warpgroup computes of all tiles.
template <class Tile>
PLANISH_DEVICE void consume_float_stages(const WeightOnlyArguments& a, const TensorMap* y, ElementType type,
                                         const StartedRing<Tile>& started, TileWalk walk) noexcept {
  const int group = thread_index() / group_size - 1;
  wait_for_kernel_before();
  const FloatUnitOutput out{a, y, type, started.ends.rooms[group], 1 + group};
  RingPlace<Tile> place;
  bool more = walk.here();
  while (more) {
    const int unit = walk.channel_tile * Tile::channel_warps + group, first_token = walk.token_tile * Tile::tokens;
    PipelineSums<Tile> products(a, started, unit);
    products.multiply(walk.begin, walk.end, place);
    const PairScales<Tile::grouped> scales(a, unit);
    walk.next();
    more = walk.here();  // the place of the next tile is found while the products end
    auto& sums = products.end();
    if (walk.splits > 1) {
      unsigned char* const kept = started.ring + group * Tile::kept_bytes;
      group_barrier(3, 2 * group_size);  // nobody reads the ring any more
      keep_sums<Tile::tokens>(sums, kept, 0);
      cluster_barrier();
      store_part<Tile>(out, unit, first_token, kept, walk.rank, walk.splits);
      cluster_barrier();  // the others have read what this block kept
    } else if (unit >= a.w.channel_units()) {
      continue;
    } else if (!stores_boxes(a, type)) {
      store_any<Tile>(sums, out, unit, first_token);
    } else if (type == ElementType::bfloat16) {
      store_float_boxes<BFloat16, Tile>(sums, scales, out, unit, first_token);
    } else {
      store_float_boxes<Half, Tile>(sums, scales, out, unit, first_token);
    }
  }
  if (thread_index() % group_size == 0) wait_bulk_read<0>();  // the block's memory lasts as long as it does
}

/// blocks: at most one per multiprocessor; with splits, clusters of as many, one per tile.
template <class Tile>
PLANISH_KERNEL(Tile::threads, 1)
weight_only_pipeline(WeightOnlyArguments a, PLANISH_GRID_CONSTANT const TensorMap tokens,
                     PLANISH_GRID_CONSTANT const TensorMap y, ElementType type, int channel_tiles, int token_tiles,
                     int splits) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  let_next_kernel_start();
  if (thread_index() == warp_size) prefetch_map(&tokens);
  const StartedRing<Tile> started;
  const TileWalk walk(channel_tiles, token_tiles, splits, a.w.column_units());
  if (thread_index() < group_size) {
    give_registers<24>();
    produce<Tile>(a.w, &tokens, started, walk);
  } else {
    take_registers<240>();
    consume_float_stages<Tile>(a, &y, type, started, walk);
  }
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
