#pragma once
// The outputs of a tile of two warpgroups: from the registers of one block, or, where the blocks of a cluster have
// columns of their own, from the shared memory of all of them, each block a part of the tokens.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/group_output.cuh>
#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

#if defined(__CUDACC__)
/// 16 bytes at the same place of shared memory of block `rank` of the cluster.
PLANISH_DEVICE Vector16 load_from_block(const Vector16* shared, int rank) noexcept {
  Vector16 v = {};
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %4, %5;\n"
      "ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [there];\n}"
      : "=r"(v.words[0]), "=r"(v.words[1]), "=r"(v.words[2]), "=r"(v.words[3])
      : "r"(shared_address(shared)), "r"(rank)
      : "memory");
#endif
  return v;
}
#else
Vector16 load_from_block(const Vector16* shared, int rank) noexcept;
#endif

template <class Tile>
struct FloatTileOutputs {
  static constexpr int halves = Tile::halves, count = Tile::half_registers;
  static constexpr int barrier = 1;       // of the warpgroups that multiply
  static constexpr int slice_tokens = 8;  // that four registers of a thread belong to
  using Sums = float[halves][count];
  const WeightOnlyArguments& a;
  ElementType type;
  int channel_tile, token_tile;
  unsigned char* lines;  // of Tile::tokens tokens

  PLANISH_DEVICE void store(const Sums& sums) const noexcept {
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) store_tokens<Tile::tokens>(sums[j], j, 0);
  }

  /// Adds the sums of the cluster's blocks in the order of their columns. `meeting`: of shared memory, at the same
  /// place in every block; nothing else uses it.
  PLANISH_DEVICE void join(const Sums& sums, unsigned char* meeting, int splits) const noexcept {
    auto* const own = reinterpret_cast<Vector16*>(meeting) + thread_index();
    group_barrier(barrier, Tile::consumers);  // nobody reads the ring any more
    PLANISH_UNROLL
    for (int j = 0; j < halves; ++j) PLANISH_UNROLL
    for (int i = 0; i < count; i += 4)
      own[(j * count + i) / 4 * Tile::consumers] = {
          {word_of(sums[j][i]), word_of(sums[j][i + 1]), word_of(sums[j][i + 2]), word_of(sums[j][i + 3])}};
    cluster_barrier();
    constexpr int slices = Tile::tokens / slice_tokens;
    const int rank = block_index() % splits;
    PLANISH_NO_UNROLL
    for (int slice = slices * rank / splits; slice < slices * (rank + 1) / splits; ++slice) {
      if (token_tile * Tile::tokens + slice * slice_tokens >= a.rows) break;
      PLANISH_UNROLL
      for (int j = 0; j < halves; ++j) {
        float total[4] = {};
        PLANISH_UNROLL
        for (int r = 0; r < Tile::most_splits; ++r) {
          if (r >= splits) break;
          const Vector16 four = load_from_block(own + (j * count / 4 + slice) * Tile::consumers, r);
          PLANISH_UNROLL
          for (int i = 0; i < 4; ++i) total[i] += float_of(four.words[i]);
        }
        store_tokens<slice_tokens>(total, j, slice * slice_tokens);
      }
    }
  }

 private:
  /// `Tokens` of the tile from `first` on, 128 channels.
  template <int Tokens>
  PLANISH_DEVICE void store_tokens(const float (&sums)[Tokens / 2], int j, int first) const noexcept {
    const GroupOutput out{a.y,
                          a.y_stride,
                          a.residual,
                          a.residual_stride,
                          type,
                          a.rows,
                          a.w.channels,
                          (channel_tile * halves + j) * 2 * unit_channels,
                          token_tile * Tile::tokens + first};
    float biases[2] = {};
    PLANISH_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int channel = out.first_channel + pair_channel() + h;
      if (a.bias != nullptr && channel < out.channels) biases[h] = a.bias[channel];
    }
    group_barrier(barrier, Tile::consumers);  // nobody reads the lines before any more
    store_group_pairs<Tokens, Tile::consumers, barrier>(
        out, lines, [&](int i, int h) { return sums[pair_register(i) + 2 * h] + biases[h]; });
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
