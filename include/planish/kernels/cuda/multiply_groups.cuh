#pragma once
// Integer products for many tokens on Hopper: two warpgroups with 64 channels each share the tokens of a block. Weights
// go from shared memory through registers, where 4 bits become 8, into the products; tokens stay in shared memory.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_output.cuh>
#include <planish/kernels/cuda/multiply_output.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Shape of a block of multiply_groups: 128 channels × 128 tokens.
template <int StoredBits, int Stages>
struct MultiplyGroup {
  static constexpr int stored_bits = StoredBits, tokens = 128, stages = Stages;
  static constexpr int channel_warps = 2;  // warpgroups, one unit of channels each
  static constexpr int threads = 2 * group_size;
  static constexpr int registers = tokens / 2;  // sums of a thread
  static constexpr int warp_words = registers * warp_size;
  static constexpr int token_bytes = tokens * unit_columns;  // of a stage; they come first: 1024-byte boundaries
  static constexpr int weight_bytes = 2 * unit_bytes(StoredBits);
  static constexpr int stage_bytes = token_bytes + weight_bytes;
  static constexpr int shared_bytes = Stages * stage_bytes + 1024;
};

/// Where a thread finds its 16-byte pieces of every stage: always the same piece of rows 32 apart.
template <class Tile>
struct GroupFetcher {
  static constexpr int token_pieces = Tile::tokens * 8 / Tile::threads;
  static constexpr int weight_pieces = Tile::weight_bytes / 16 / Tile::threads;
  static constexpr int rows_on = Tile::threads / 8;
  const std::int8_t* tokens;    // this thread's piece of its first row
  const std::uint8_t* weights;  // of the block's first unit of channels
  std::int64_t rows_on_bytes, next_unit_bytes;
  int rows_left, columns, token_place, column;
  bool second_unit;

  PLANISH_DEVICE GroupFetcher(const MultiplyArguments& a, int channel_tile, int token_tile) noexcept {
    const int thread = thread_index(), token = token_tile * Tile::tokens + thread / 8;
    column = thread % 8 * 16;
    columns = a.w.columns;
    rows_left = static_cast<int>(a.x.rows) - token;
    rows_on_bytes = rows_on * std::int64_t{a.x.stride};
    tokens = a.x.codes + token * std::int64_t{a.x.stride} + column;
    token_place = token_chunk_offset(thread / 8, thread % 8);  // rows_on is a multiple of 8: only rows change
    next_unit_bytes = std::int64_t{a.w.column_units()} * unit_bytes(Tile::stored_bits);
    weights = a.w.units + channel_tile * Tile::channel_warps * next_unit_bytes + thread * 16;
    second_unit = channel_tile * Tile::channel_warps + 1 < a.w.channel_units();
  }

  PLANISH_DEVICE void fetch(unsigned char* stage, int unit, const void* anywhere) const noexcept {
    const bool inside = unit * unit_columns + column < columns;
    const std::int8_t* from = tokens + unit * unit_columns;
    PLANISH_UNROLL
    for (int i = 0; i < token_pieces; ++i) {
      const bool exists = inside && i * rows_on < rows_left;
      copy_async_16(stage + token_place + i * rows_on * unit_columns, exists ? from : anywhere, exists ? 16 : 0);
      from += rows_on_bytes;
    }
    constexpr int pieces_of_unit = weight_pieces / Tile::channel_warps;
    const std::uint8_t* const first = weights + std::int64_t{unit} * unit_bytes(Tile::stored_bits);
    unsigned char* const to = stage + Tile::token_bytes + thread_index() * 16;
    PLANISH_UNROLL
    for (int i = 0; i < weight_pieces; ++i) {
      const bool exists = i < pieces_of_unit || second_unit;
      const std::uint8_t* const piece =
          first + (i < pieces_of_unit ? 0 : next_unit_bytes) + i % pieces_of_unit * Tile::threads * 16;
      copy_async_16(to + i * Tile::threads * 16, exists ? piece : anywhere, exists ? 16 : 0);
    }
  }
};

/// The fragments of one stage: [product of 32 columns][register].
template <class Tile>
PLANISH_DEVICE void load_fragments(const unsigned char* stage, std::uint32_t (&fragments)[4][4]) noexcept {
  const int lane = thread_index() % warp_size, warp = thread_index() / warp_size;
  const unsigned char* weights =
      stage + Tile::token_bytes + warp / 4 * unit_bytes(Tile::stored_bits) + warp % 4 * 512 + lane * 16;
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

/// Two neighbouring channels of every token of the block.
template <class Tile>
PLANISH_DEVICE void store_group_sums(const int (&sums)[Tile::registers], const MultiplyArguments& a, ElementType type,
                                     int channel_tile, int token_tile, unsigned char* shared) noexcept {
  const int first = channel_tile * Tile::channel_warps * unit_channels, channel = first + pair_channel();
  const int channels = a.w.channels, rows = static_cast<int>(a.x.rows);
  constexpr int factor_bits = Tile::stored_bits == 4 ? 4 : 0;
  float scales[2] = {}, biases[2] = {};
  std::int32_t zeros[2] = {}, channel_sums[2] = {};
  PLANISH_UNROLL
  for (int h = 0; h < 2; ++h) {
    if (channel + h >= channels) continue;
    scales[h] = a.w.scales[channel + h];
    zeros[h] = a.w.zeros == nullptr ? 0 : a.w.zeros[channel + h];
    channel_sums[h] = a.x.zero_points == nullptr ? 0 : a.w.sums[channel + h];
    biases[h] = a.bias == nullptr ? 0.0f : a.bias[channel + h];
  }
  // What every lane asks of the tokens, behind the 256 bytes of each that come later.
  auto* const token_scales = reinterpret_cast<float*>(shared + Tile::tokens * 256);
  auto* const token_sums = reinterpret_cast<std::int32_t*>(token_scales + Tile::tokens);
  auto* const token_zeros = token_sums + Tile::tokens;
  for (int i = thread_index(); i < Tile::tokens; i += Tile::threads) {
    const int token = token_tile * Tile::tokens + i;
    token_scales[i] = token < rows ? a.x.scales[token] : 0.0f;
    token_sums[i] = token < rows && a.w.zeros != nullptr ? a.x.sums[token] : 0;
    token_zeros[i] = token < rows && a.x.zero_points != nullptr ? a.x.zero_points[token] : 0;
  }
  block_barrier();
  const auto whole = [&](int i, int h) {
    const int column = pair_token(i);
    return without_zeros(sums[pair_register(i) + 2 * h] >> factor_bits, token_sums[column], token_zeros[column],
                         zeros[h], channel_sums[h]);
  };
  if (type == ElementType::int32) {
    PLANISH_UNROLL
    for (int i = 0; i < Tile::registers / 2; ++i) {
      const std::int64_t token = token_tile * Tile::tokens + pair_token(i);
      PLANISH_UNROLL
      for (int h = 0; h < 2; ++h)
        if (token < rows && channel + h < channels)
          static_cast<std::int32_t*>(a.y)[token * a.y_stride + channel + h] = whole(i, h);
    }
    return;
  }
  const GroupOutput out{a.y,  a.y_stride, a.residual, a.residual_stride,        type,
                        rows, channels,   first,      token_tile * Tile::tokens};
  store_group_pairs<Tile::tokens, Tile::threads>(out, shared, [&](int i, int h) {
    return rescale(whole(i, h), token_scales[pair_token(i)], scales[h], biases[h]);
  });
}

/// As join_splits, for all warps of a block together; `word`: of shared memory that nobody else uses.
template <class Tile>
PLANISH_DEVICE bool join_block_splits(int (&sums)[Tile::registers], void* workspace, int tile, int tiles, int splits,
                                      int* word) noexcept {
  if (splits == 1) return true;
  constexpr int warps = Tile::threads / warp_size;
  auto* const counter = static_cast<std::int32_t*>(workspace) + tile;
  auto* const words = static_cast<std::int32_t*>(workspace) + tiles * warps +
                      (std::int64_t{tile} * warps + thread_index() / warp_size) * Tile::warp_words +
                      thread_index() % warp_size;
  PLANISH_UNROLL
  for (int i = 0; i < Tile::registers; ++i) (void)atomic_add(words + i * warp_size, sums[i]);
  device_fence();
  block_barrier();
  if (thread_index() == 0) *word = atomic_add(counter, 1);
  block_barrier();
  if (*word != splits - 1) return false;
  device_fence();
  PLANISH_UNROLL
  for (int i = 0; i < Tile::registers; ++i) {
    sums[i] = load_shared_word(words + i * warp_size);
    words[i * warp_size] = 0;
  }
  if (thread_index() == 0) *counter = 0;
  return true;
}

/// blocks = channel tiles × token tiles × splits, split slowest.
template <class Tile>
PLANISH_KERNEL(Tile::threads, 1)
multiply_groups(MultiplyArguments a, ElementType type, int channel_tiles, int token_tiles, int splits) {
#if !defined(__CUDA_ARCH__) || defined(PLANISH_HAS_GROUP_PRODUCTS)
  const TilePlace place = tile_place(block_index(), channel_tiles, token_tiles);
  const int units = a.w.column_units();
  const int begin = static_cast<int>(std::int64_t{units} * place.split / splits);
  const int end = static_cast<int>(std::int64_t{units} * (place.split + 1) / splits);
  unsigned char* const memory = shared_memory();
  unsigned char* const ring = memory + (1024 - reinterpret_cast<std::uintptr_t>(memory) % 1024) % 1024;
  const GroupFetcher<Tile> fetcher(a, place.channel_tile, place.token_tile);
  PLANISH_UNROLL
  for (int s = 0; s < Tile::stages - 2; ++s) {
    if (begin + s < end) fetcher.fetch(ring + s * Tile::stage_bytes, begin + s, a.w.units);
    commit_copies();
  }
  int sums[Tile::registers] = {};
  int stage = 0, free_stage = Tile::stages - 2;
  const auto step = [&](int unit) {
    wait_copies<Tile::stages - 3>();
    publish_to_products();
    block_barrier();  // this stage has come; the products of the one before the last are done
    std::uint32_t fragments[4][4];
    const unsigned char* const current = ring + stage * Tile::stage_bytes;
    load_fragments<Tile>(current, fragments);
    begin_products();
    PLANISH_UNROLL
    for (int k = 0; k < 4; ++k) multiply_group(sums, fragments[k], current, 32 * k);
    commit_products();
    if (unit + Tile::stages - 2 < end)
      fetcher.fetch(ring + free_stage * Tile::stage_bytes, unit + Tile::stages - 2, a.w.units);
    commit_copies();
    wait_products<1>();
    stage = stage + 1 == Tile::stages ? 0 : stage + 1;
    free_stage = free_stage + 1 == Tile::stages ? 0 : free_stage + 1;
  };
  int unit = begin;
  PLANISH_NO_UNROLL
  for (; unit + 1 < end; unit += 2) {  // two sets of fragments: one is read while the other is written
    step(unit);
    step(unit + 1);
  }
  if (unit < end) step(unit);
  wait_products<0>();
  settle(sums);
  wait_copies<0>();
  block_barrier();  // nobody reads the ring any more
  const int tile = place.channel_tile * token_tiles + place.token_tile;
  if (!join_block_splits<Tile>(sums, a.workspace, tile, channel_tiles * token_tiles, splits,
                               reinterpret_cast<int*>(ring + (Tile::stages - 1) * Tile::stage_bytes)))
    return;
  store_group_sums<Tile>(sums, a, type, place.channel_tile, place.token_tile, ring);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
