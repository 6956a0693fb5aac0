#pragma once
// The outputs of a tile of two warpgroups: from the registers of one block, or, where the blocks of a cluster have
// columns of their own, from the shared memory of all of them, each block a part of the tokens.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/pipeline.cuh>
#include <planish/kernels/cuda/pipeline_output.cuh>
#include <planish/kernels/cuda/weight_only_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The first of the two channels of a unit that a thread of a warpgroup has.
[[nodiscard]] PLANISH_DEVICE int pair_channel() noexcept {
  return 8 * (thread_index() % warp_size / 4) + 2 * (thread_index() / warp_size % 4);
}

/// Of a warpgroup: 64 channels of every 128, in passes of 64 tokens through shared memory, so that whole pieces of 16
/// bytes are written. The passes are not unrolled: instructions that run once take longer to come than to run.
template <class Tile>
struct FloatTileOutputs {
  static constexpr int halves = Tile::halves, count = Tile::half_registers;
  static constexpr int pass_tokens = 64, pass_registers = pass_tokens / 2;
  static constexpr int half_passes = Tile::tokens / pass_tokens, passes = halves * half_passes;
  static constexpr int line_bytes = pass_tokens * unit_channels * 4;  // of a warpgroup
  using Sums = float[halves][count];
  const WeightOnlyArguments& a;
  ElementType type;
  int channel_tile, token_tile;
  unsigned char* lines;  // of both warpgroups

  /// `meeting`: of shared memory, at the same place in every block of the cluster; nothing else uses it if there are
  /// splits. Their sums are added in the order of their columns.
  PLANISH_DEVICE void store(const Sums& sums, unsigned char* meeting, int splits) const noexcept {
    auto* const own = reinterpret_cast<Vector16*>(meeting) + thread_index();
    if (splits > 1) {
      group_barrier(1, Tile::consumers);  // nobody reads the ring any more
      PLANISH_UNROLL
      for (int j = 0; j < halves; ++j) PLANISH_UNROLL
      for (int i = 0; i < count; i += 4)
        own[(j * count + i) / 4 * Tile::consumers] = {
            {word_of(sums[j][i]), word_of(sums[j][i + 1]), word_of(sums[j][i + 2]), word_of(sums[j][i + 3])}};
      cluster_barrier();
    }
    PLANISH_NO_UNROLL
    for (int pass = splits == 1 ? 0 : block_index() % splits; pass < passes; pass += splits) {
      float total[pass_registers];
      if (splits == 1) {
        PLANISH_UNROLL
        for (int p = 0; p < passes; ++p) {
          if (p != pass) continue;
          PLANISH_UNROLL
          for (int i = 0; i < pass_registers; ++i)
            total[i] = sums[p / half_passes][p % half_passes * pass_registers + i];
        }
      } else {
        add_blocks(total, own + pass * (pass_registers / 4) * Tile::consumers, splits);
      }
      store_pass(total, pass);
    }
  }

 private:
  PLANISH_DEVICE static void add_blocks(float (&total)[pass_registers], const Vector16* own, int splits) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < pass_registers; ++i) total[i] = 0.0f;
    PLANISH_NO_UNROLL
    for (int block = 0; block < splits; ++block) {
      Vector16 theirs[pass_registers / 4];
      PLANISH_UNROLL
      for (int i = 0; i < pass_registers / 4; ++i) theirs[i] = load_of_block(own + i * Tile::consumers, block);
      PLANISH_UNROLL
      for (int i = 0; i < pass_registers; ++i) total[i] += float_of(theirs[i / 4].words[i % 4]);
    }
  }
  /// Lines of 64 floats, in pairs of channels; those of eight channels exchanged by the token.
  PLANISH_DEVICE void store_pass(const float (&total)[pass_registers], int pass) const noexcept {
    const int group = thread_index() / group_size;
    unsigned char* const own_lines = lines + group * line_bytes;
    auto* const pairs = reinterpret_cast<Vector8*>(own_lines);
    // A lane's tokens lie eights and ones apart, which moves no pair within its token.
    auto* const own = pairs + sum_pair(sum_token(thread_index() % warp_size, 0), pair_channel());
    group_barrier(2 + group, group_size);  // nobody reads the lines before any more
    PLANISH_UNROLL
    for (int i = 0; i < pass_registers / 2; ++i) {
      const int r = register_of_pair(i);
      own[sum_token(0, r) * (unit_channels / 2)] = {{word_of(total[r]), word_of(total[r + next_channel])}};
    }
    group_barrier(2 + group, group_size);
    constexpr int eights = unit_channels / 8;
    const int unit = channel_tile * Tile::channel_warps + 2 * (pass / half_passes) + group;
    const int channel = unit * unit_channels + thread_index() % eights * 8, channels = a.w.channels - channel;
    const int first = token_tile * Tile::tokens + pass % half_passes * pass_tokens;
    const int end = channels <= 0 ? 0 : a.rows - first < pass_tokens ? (a.rows - first) * eights : pass_tokens * eights;
    PLANISH_NO_UNROLL
    for (int i = thread_index() % group_size; i < end; i += group_size) {
      const int token = first + i / eights;
      float values[8];
      PLANISH_UNROLL
      for (int pair = 0; pair < 4; ++pair) {
        const Vector8 two = pairs[sum_pair(i / eights, i % eights * 8 + 2 * pair)];
        PLANISH_UNROLL
        for (int h = 0; h < 2; ++h) {
          const int c = 2 * pair + h;
          values[c] = float_of(two.words[h]);
          if (c >= channels) continue;
          if (a.bias != nullptr) values[c] += a.bias[channel + c];
          if (a.residual != nullptr)
            values[c] += load_element(a.residual, type, token * a.residual_stride + channel + c);
        }
      }
      store_eight(a.y, type, token * a.y_stride + channel, values, channels);
    }
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
