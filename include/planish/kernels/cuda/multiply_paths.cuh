#pragma once
// The compiled shapes of the integer product, and what follows from one of them.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/multiply_by_groups.cuh>
#include <planish/kernels/cuda/multiply_pipeline.cuh>
#include <planish/kernels/cuda/multiply_stream.cuh>
#include <planish/kernels/cuda/multiply_tiles.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The compiled shapes of the integer product. Tokens of a block in their names.
enum class MultiplyPath : std::uint8_t {
  stream8,
  stream16,
  stream32,
  tiles64,
  tiles128,
  tiles256,
  pipeline16,
  pipeline64,
  pipeline128,
  pipeline256,
  grouped8,  // these three for scales of groups of columns, and nothing else
  grouped32,
  grouped128
};

[[nodiscard]] constexpr const char* multiply_path_name(MultiplyPath path) noexcept {
  constexpr const char* names[] = {
      "streamed weights, 8 tokens, mma.sync s8",  "streamed weights, 16 tokens, mma.sync s8",
      "streamed weights, 32 tokens, mma.sync s8", "tiles of 128 x 64, mma.sync s8",
      "tiles of 128 x 128, mma.sync s8",          "tiles of 128 x 256, mma.sync s8",
      "pipelined tiles of 128 x 16, wgmma s8",    "pipelined tiles of 128 x 64, wgmma s8",
      "pipelined tiles of 128 x 128, wgmma s8",   "pipelined tiles of 128 x 256, wgmma s8",
      "group scales, 64 x 8, mma.sync s8",        "group scales, 64 x 32, mma.sync s8",
      "group scales, 128 x 128, mma.sync s8"};
  return names[static_cast<int>(path)];
}

[[nodiscard]] constexpr bool is_pipelined(MultiplyPath path) noexcept {
  return path >= MultiplyPath::pipeline16 && path <= MultiplyPath::pipeline256;
}

template <int Bits>
using Stream8 = MultiplyStream<Bits, 1, 1>;
template <int Bits>
using Stream16 = MultiplyStream<Bits, 2, 1>;
template <int Bits>
using Stream32 = MultiplyStream<Bits, 4, 2>;
template <int Bits>
using Tiles64 = MultiplyTile<Bits, 2, 2, 4, 4, 2>;
template <int Bits>
using Tiles128 = MultiplyTile<Bits, 2, 4, 4, 4, 1>;
template <int Bits>
using Tiles256 = MultiplyTile<Bits, 2, 4, 8, 4, 1>;

template <int Bits>
using Pipeline16 = MultiplyPipeline<Bits, 16, Bits == 4 ? 18 : 10>;
template <int Bits>
using Pipeline64 = MultiplyPipeline<Bits, 64, Bits == 4 ? 12 : 8>;
template <int Bits>
using Pipeline128 = MultiplyPipeline<Bits, 128, Bits == 4 ? 8 : 6>;
template <int Bits>
using Pipeline256 = MultiplyPipeline<Bits, 256, 4>;
template <int Bits>
using Grouped8 = MultiplyByGroup<Bits, 1, 1, 1, 1, Bits == 4 ? 8 : 6, 3>;
template <int Bits>
using Grouped32 = MultiplyByGroup<Bits, 1, 1, 1, 4, 4, 3>;
template <int Bits>
using Grouped128 = MultiplyByGroup<Bits, 2, 4, 4, 4, Bits == 4 ? 4 : 3, 1>;

/// What is known of a product before its data.
struct MultiplyShape {
  int rows = 0;  // tokens
  int channels = 0;
  int columns = 0;
  int stored_bits = 8;  // of the weights: 4 or 8
  ElementType output = ElementType::bfloat16;
  int group_columns = 0;  // that share a scale: a multiple of 32; 0: all of a channel
  bool early = false;     // the weights are older than the kernel in front in the stream: see LaunchShape
};

/// How a product runs: plain data, made once per shape on the host.
struct MultiplyPlan {
  MultiplyShape shape;
  MultiplyPath path = MultiplyPath::tiles128;
  int channel_tiles = 0, token_tiles = 0, splits = 1;
  LaunchShape launch;
  std::int64_t workspace_bytes = 0;  // zeroed once by the caller; one per stream
  void* encode_rows = nullptr;       // of the pipelined paths: cuTensorMapEncodeTiled

  [[nodiscard]] constexpr const char* describe() const noexcept { return multiply_path_name(path); }
};

namespace detail {

/// Fills in what follows from a path.
template <class Tile>
[[nodiscard]] constexpr MultiplyPlan multiply_plan_of(const MultiplyShape& s, MultiplyPath path, int channel_warps,
                                                      int warps, int splits) noexcept {
  MultiplyPlan plan;
  plan.shape = s;
  plan.path = path;
  const int units = (s.channels + unit_channels - 1) / unit_channels;
  plan.channel_tiles = (units + channel_warps - 1) / channel_warps;
  plan.token_tiles = (s.rows + Tile::tokens - 1) / Tile::tokens;
  plan.splits = splits;
  plan.launch = {plan.channel_tiles * plan.token_tiles * splits, Tile::threads, Tile::shared_bytes};
  if (splits > 1 && warps > 0)
    plan.workspace_bytes = split_bytes(std::int64_t{plan.channel_tiles} * plan.token_tiles * warps, Tile::warp_words);
  return plan;
}

/// The same for paths whose blocks stay, or are clusters that share the columns of a tile.
template <class Tile>
[[nodiscard]] constexpr MultiplyPlan pipeline_plan_of(const MultiplyShape& s, MultiplyPath path, int splits,
                                                      int multiprocessors) noexcept {
  constexpr int most_splits = Tile::may_split ? 8 : 1;  // blocks of a cluster, on any device
  const int units = (s.columns + unit_columns - 1) / unit_columns;
  splits = splits < most_splits ? splits : most_splits;
  splits = splits < units ? splits : units < 1 ? 1 : units;
  MultiplyPlan plan = multiply_plan_of<Tile>(s, path, Tile::channel_warps, 0, splits);
  plan.launch.cluster = splits;
  plan.launch.early = s.early;
  if (splits == 1 && plan.launch.blocks > multiprocessors)
    plan.launch.blocks = multiprocessors > 0 ? multiprocessors : 1;
  return plan;
}

template <int Bits>
[[nodiscard]] constexpr MultiplyPlan multiply_plan_of(const MultiplyShape& s, MultiplyPath path, int splits,
                                                      int multiprocessors) noexcept {
  switch (path) {
    case MultiplyPath::stream8:
      return multiply_plan_of<Stream8<Bits>>(s, path, 1, 1, splits);
    case MultiplyPath::stream16:
      return multiply_plan_of<Stream16<Bits>>(s, path, 1, 1, splits);
    case MultiplyPath::stream32:
      return multiply_plan_of<Stream32<Bits>>(s, path, 2, 2, splits);
    case MultiplyPath::tiles64:
      return multiply_plan_of<Tiles64<Bits>>(s, path, 2, 4, splits);
    case MultiplyPath::tiles128:
      return multiply_plan_of<Tiles128<Bits>>(s, path, 2, 8, splits);
    case MultiplyPath::tiles256:
      return multiply_plan_of<Tiles256<Bits>>(s, path, 2, 8, splits);
    case MultiplyPath::pipeline16:
      return pipeline_plan_of<Pipeline16<Bits>>(s, path, splits, multiprocessors);
    case MultiplyPath::pipeline64:
      return pipeline_plan_of<Pipeline64<Bits>>(s, path, splits, multiprocessors);
    case MultiplyPath::pipeline128:
      return pipeline_plan_of<Pipeline128<Bits>>(s, path, splits, multiprocessors);
    case MultiplyPath::pipeline256:
      return pipeline_plan_of<Pipeline256<Bits>>(s, path, splits, multiprocessors);
    case MultiplyPath::grouped8:
      return multiply_plan_of<Grouped8<Bits>>(s, path, 1, 4, 1);
    case MultiplyPath::grouped32:
      return multiply_plan_of<Grouped32<Bits>>(s, path, 1, 4, 1);
    default:
      return multiply_plan_of<Grouped128<Bits>>(s, path, 2, 8, 1);
  }
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
