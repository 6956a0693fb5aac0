#pragma once
// Integer products on Hopper, without a thread that waits for its own loads: a few threads ask the copy engine for
// weights and tokens, some stages ahead, and two warpgroups with 64 channels each multiply what has come. Blocks stay
// and walk over tiles: the next one's operands come while the outputs of one are written. Where tiles are few, the
// blocks of a cluster have a part of the columns of one tile each.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/pipeline_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of multiply_pipeline: 128 channels × `Tokens` (16, 64, 128 or 256).
template <int StoredBits, int Tokens, int Stages, int BoxTokens = (Tokens < 128 ? Tokens / 2 : 64), int Boxes = 2>
struct MultiplyPipeline {
  static constexpr int stored_bits = StoredBits, tokens = Tokens, stages = Stages;
  static constexpr int channel_warps = 2;  // warpgroups that multiply, one unit of channels each
  static constexpr int threads = 3 * group_size;
  static constexpr int registers = tokens / 2;      // sums of a thread
  static constexpr int warp_words = 0;              // clusters join their sums without a workspace
  static constexpr bool may_split = tokens <= 128;  // columns; where tokens are more, so are the tiles
  using Room = OutputRoom<BoxTokens, Boxes>;
  static constexpr int output_rows = Room::tokens;             // of tokens that leave at once
  static constexpr int factor_bits = StoredBits == 4 ? 4 : 0;  // sums are 2^factor_bits too large
  static constexpr int token_bytes = tokens * unit_columns;    // of a stage; they come first: 1024-byte boundaries
  static constexpr int weight_bytes = 2 * unit_bytes(StoredBits);
  static constexpr int stage_bytes = token_bytes + weight_bytes;
  struct alignas(1024) Ends {
    unsigned char rooms[2][Room::bytes];
    float scales[2][Tokens];
    MemoryBarrier full[Stages], empty[Stages];
  };
  // The ring begins at a multiple of 1024 bytes, the block's memory at one of 128.
  static constexpr int ends_bytes = 2 * (Room::bytes + Tokens * 4 + Stages * 8);
  static constexpr int shared_bytes = 1024 - 128 + Stages * stage_bytes + ends_bytes;
};

/// Rows as the copy engine moves them: become a kernel's argument where one is launched.
struct RowsMap {
  void* encode;
  ByteRows rows;
  int box_rows;

  [[nodiscard]] bool describe(TensorMap& map) const noexcept { return describe_rows(encode, rows, box_rows, map); }
  /// Whether the driver describes them; `what` they are.
  [[nodiscard]] Status check(const char* what) const noexcept {
    TensorMap map;
    if (describe(map)) return {};
    return {ErrorCode::invalid_argument,
            "the driver refuses to describe ",
            rows.rows,
            " rows of ",
            rows.columns,
            " bytes, ",
            rows.stride,
            " bytes apart, to the copy engine: ",
            what};
  }
  explicit operator TensorMap() const noexcept {
    TensorMap map = {};
    if (!describe(map)) map = {};  // `check` has refused what is needed and cannot be described
    return map;
  }
};
[[nodiscard]] inline RowsMap tokens_map(void* encode, const MultiplyArguments& a, int box_rows) noexcept {
  return {encode, {a.x.codes, a.x.rows, a.x.columns, a.x.stride}, box_rows};
}
[[nodiscard]] inline RowsMap output_map(void* encode, const MultiplyArguments& a, ElementType type,
                                        int box_rows) noexcept {
  return {encode, {a.y, a.x.rows, a.w.channels * index{2}, a.y_stride * element_bytes(type)}, box_rows};
}

/// A place in the ring, and the parity of its phase.
template <class Tile>
struct RingPlace {
  int stage = 0, parity = 0;
  PLANISH_DEVICE void next() noexcept {
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    parity ^= stage == 0 ? 1 : 0;
  }
};

/// What a block computes, one tile after the other. Blocks of a cluster have the same tile, and `splits` parts of its
/// columns.
struct TileWalk {
  int channel_tiles, token_tiles, splits, units;  // units: of columns
  int at, step, rank;
  int channel_tile = 0, token_tile = 0, begin = 0, end = 0;

  PLANISH_DEVICE TileWalk(int all_channel_tiles, int all_token_tiles, int all_splits, int column_units) noexcept
      : channel_tiles(all_channel_tiles),
        token_tiles(all_token_tiles),
        splits(all_splits),
        units(column_units),
        at(block_index() / all_splits),
        step(block_count() / all_splits),
        rank(block_index() % all_splits) {}
  PLANISH_DEVICE bool here() noexcept {
    if (at >= channel_tiles * token_tiles) return false;
    const TilePlace place = tile_place(at, channel_tiles, token_tiles);
    channel_tile = place.channel_tile;
    token_tile = place.token_tile;
    begin = static_cast<int>(std::int64_t{units} * rank / splits);
    end = static_cast<int>(std::int64_t{units} * (rank + 1) / splits);
    return true;
  }
  PLANISH_DEVICE void next() noexcept { at += step; }
};

/// What one of a block's producers asks the copy engine for, all stages one after the other: a unit of channels of the
/// weights each, and one the tokens.
template <class Tile, class Weights>
PLANISH_DEVICE void produce_stages(const Weights& w, const TensorMap* tokens, unsigned char* ring,
                                   typename Tile::Ends& ends, int producer, TileWalk walk) noexcept {
  constexpr int bytes = Tile::weight_bytes / Tile::channel_warps;
  const bool brings_tokens = producer == Tile::channel_warps;
  if (brings_tokens) wait_for_kernel_before();  // weights are older
  unsigned char* const to = ring + (brings_tokens ? 0 : Tile::token_bytes + producer * bytes);
  RingPlace<Tile> place;
  for (; walk.here(); walk.next()) {
    const int own_unit = walk.channel_tile * Tile::channel_warps + producer, row = walk.token_tile * Tile::tokens;
    const bool exists = brings_tokens || own_unit < w.channel_units();
    const std::uint8_t* weights = w.units + (own_unit * std::int64_t{walk.units} + walk.begin) * bytes;
    PLANISH_NO_UNROLL
    for (int unit = walk.begin; unit < walk.end; ++unit, weights += bytes, place.next()) {
      MemoryBarrier* const full = &ends.full[place.stage];
      wait_phase(&ends.empty[place.stage], place.parity ^ 1);
      arrive_expecting(full, !exists ? 0 : brings_tokens ? Tile::token_bytes : bytes);
      if (brings_tokens)
        copy_box(to + place.stage * Tile::stage_bytes, tokens, unit * box_columns, row, full);
      else if (exists)
        copy_bulk(to + place.stage * Tile::stage_bytes, weights, bytes, full);
    }
  }
}

/// The block's ring and what lies behind it, from a multiple of 1024 bytes on, the barriers of both started.
template <class Tile>
struct StartedRing {
  unsigned char* ring;
  typename Tile::Ends& ends;

  PLANISH_DEVICE StartedRing() noexcept : ring(first_byte()), ends(ends_of(ring)) {
    if (thread_index() == 0) {
      PLANISH_UNROLL
      for (int s = 0; s < Tile::stages; ++s) {
        start_barrier(&ends.full[s], Tile::channel_warps + 1);
        start_barrier(&ends.empty[s], Tile::channel_warps);
      }
      publish_barriers();
    }
    block_barrier();
  }

 private:
  PLANISH_DEVICE static unsigned char* first_byte() noexcept {
    unsigned char* const memory = shared_memory();
    return memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
  }
  PLANISH_DEVICE static typename Tile::Ends& ends_of(unsigned char* ring) noexcept {
    return *reinterpret_cast<typename Tile::Ends*>(ring + Tile::stages * Tile::stage_bytes);
  }
};

/// What the block's first warpgroup does.
template <class Tile, class Weights>
PLANISH_DEVICE void produce(const Weights& w, const TensorMap* tokens, const StartedRing<Tile>& started,
                            const TileWalk& walk) noexcept {
  const int warp = thread_index() / warp_size;
  if (warp <= Tile::channel_warps && thread_index() % warp_size == 0)
    produce_stages<Tile>(w, tokens, started.ring, started.ends, warp, walk);
  if (walk.splits > 1) {  // the consumers' two meetings
    cluster_barrier();
    cluster_barrier();
  }
}

/// The fragments of one stage: [product of 32 columns][register]. `weights`: of shared memory, this warpgroup's unit.
template <class Tile>
PLANISH_DEVICE void load_unit_fragments(const unsigned char* weights, std::uint32_t (&fragments)[4][4]) noexcept {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  weights += lane_tile(warp, lane) * 512 + lane * 16;
  PLANISH_UNROLL
  for (int chunk = 0; chunk < unit_chunks; ++chunk) {
    if constexpr (Tile::stored_bits == 4) {
      const Vector16 packed = *reinterpret_cast<const Vector16*>(weights + chunk * unit_tiles * 512);
      PLANISH_UNROLL
      for (int step = 0; step < 2; ++step) {
        std::uint32_t(&f)[4] = fragments[2 * chunk + step];
        expand_nibbles(packed.words[2 * step], f[0], f[1]);
        expand_nibbles(packed.words[2 * step + 1], f[2], f[3]);
      }
    } else {
      PLANISH_UNROLL
      for (int step = 0; step < 2; ++step) {
        const Vector16 bytes = *reinterpret_cast<const Vector16*>(weights + (2 * chunk + step) * unit_tiles * 512);
        PLANISH_UNROLL
        for (int r = 0; r < 4; ++r) fragments[2 * chunk + step][r] = bytes.words[r];
      }
    }
  }
}

/// Of a warpgroup: its products of this stage are done.
template <class Tile>
PLANISH_DEVICE void release_stage(typename Tile::Ends& ends, int stage) noexcept {
  if (thread_index() % group_size == 0) arrive(&ends.empty[stage]);
}

/// What a warpgroup computes of all tiles.
template <class Tile>
PLANISH_DEVICE void consume_stages(const MultiplyArguments& a, const TensorMap* y, ElementType type,
                                   unsigned char* ring, typename Tile::Ends& ends, TileWalk walk) noexcept {
  const int group = thread_index() / group_size - 1, channel_units = a.w.channel_units();
  wait_for_kernel_before();
  const UnitOutput out{a, y, type, ends.rooms[group], ends.scales[group], 1 + group};
  RingPlace<Tile> place;
  bool more = walk.here();
  while (more) {
    const int own_unit = walk.channel_tile * Tile::channel_warps + group, token_tile = walk.token_tile;
    const OutputScales<Tile::tokens> scales(a, own_unit, token_tile * Tile::tokens);
    int sums[Tile::registers];
    int before = 0, left = walk.end - walk.begin;  // at least one
    const auto step = [&](bool first) {
      wait_phase(&ends.full[place.stage], place.parity);
      const unsigned char* const stage = ring + place.stage * Tile::stage_bytes;
      std::uint32_t fragments[4][4];
      load_unit_fragments<Tile>(stage + Tile::token_bytes + group * unit_bytes(Tile::stored_bits), fragments);
      begin_products();
      PLANISH_UNROLL
      for (int k = 0; k < 4; ++k) multiply_group(sums, fragments[k], stage, 32 * k, k > 0 || !first);
      commit_products();
      wait_products<1>();
      if (!first) release_stage<Tile>(ends, before);
      before = place.stage;
      place.next();
    };
    PLANISH_NO_UNROLL
    for (bool first = true;; first = false) {  // two sets of fragments: one is read while the other is written
      step(first);
      if (first) {  // products run meanwhile
        scales.keep_tokens(out.scales);
        group_barrier(out.barrier, group_size);
      }
      if (--left == 0) break;
      step(false);
      if (--left == 0) break;
    }
    walk.next();
    more = walk.here();  // the place of the next tile is found while the products end
    wait_products<0>();
    settle(sums);
    release_stage<Tile>(ends, before);
    if constexpr (Tile::may_split) {
      if (walk.splits > 1) {
        group_barrier(3, 2 * group_size);  // nobody reads the ring any more
        store_split<Tile>(sums, out, own_unit, token_tile * Tile::tokens, ring + group * Tile::tokens * 256, walk.rank,
                          walk.splits);
        continue;
      }
    }
    if (own_unit < channel_units) store_unit<Tile>(sums, scales, out, own_unit, token_tile * Tile::tokens);
  }
  if (thread_index() % group_size == 0) wait_bulk_read<0>();  // the block's memory lasts as long as it does
}

/// blocks: at most one per multiprocessor; with splits, clusters of as many, one per tile.
template <class Tile>
PLANISH_KERNEL(Tile::threads, 1)
multiply_pipeline(MultiplyArguments a, PLANISH_GRID_CONSTANT const TensorMap tokens,
                  PLANISH_GRID_CONSTANT const TensorMap y, ElementType type, int channel_tiles, int token_tiles,
                  int splits) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  let_next_kernel_start();
  if (thread_index() == warp_size) prefetch_map(&tokens);
  const StartedRing<Tile> started;
  const TileWalk walk(channel_tiles, token_tiles, splits, a.w.column_units());
  if (thread_index() < group_size) {
    give_registers<40>();
    produce<Tile>(a.w, &tokens, started, walk);
  } else {
    take_registers<232>();
    consume_stages<Tile>(a, &y, type, started.ring, started.ends, walk);
  }
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
