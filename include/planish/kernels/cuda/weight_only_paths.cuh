#pragma once
// The compiled shapes of the weight-only product, and the block that each of them names.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/weight_only_pipeline.cuh>
#include <planish/kernels/cuda/weight_only_stream.cuh>
#include <planish/kernels/cuda/weight_only_tiles.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The compiled shapes of the weight-only product. Tokens of a block in their names.
enum class WeightOnlyPath : std::uint8_t {
  stream8,
  stream16,
  stream32,
  stream64,  // one scale per channel
  alone8,    // streams whose blocks have a multiprocessor for themselves
  alone16,
  tiles64,
  tiles128,
  pipeline64,
  pipeline128,
  pipeline256  // one scale per channel
};
inline constexpr int weight_only_paths = 11;

[[nodiscard]] constexpr const char* weight_only_path_name(WeightOnlyPath path) noexcept {
  constexpr const char* names[] = {"streamed weights, 8 tokens, mma.sync of 16 bits",
                                   "streamed weights, 16 tokens, mma.sync of 16 bits",
                                   "streamed weights, 32 tokens, mma.sync of 16 bits",
                                   "streamed weights, 64 tokens, mma.sync of 16 bits",
                                   "streamed weights, 8 tokens, a block per multiprocessor, mma.sync of 16 bits",
                                   "streamed weights, 16 tokens, a block per multiprocessor, mma.sync of 16 bits",
                                   "tiles of 128 x 64, mma.sync of 16 bits",
                                   "tiles of 128 x 128, mma.sync of 16 bits",
                                   "pipelined tiles of 128 x 64, wgmma of 16 bits",
                                   "pipelined tiles of 128 x 128, wgmma of 16 bits",
                                   "pipelined tiles of 128 x 256, wgmma of 16 bits"};
  return names[static_cast<int>(path)];
}

[[nodiscard]] constexpr bool is_pipelined(WeightOnlyPath path) noexcept { return path >= WeightOnlyPath::pipeline64; }

/// What is known of a weight-only product before its data.
struct WeightOnlyShape {
  int rows = 0;  // tokens
  int channels = 0;
  int columns = 0;
  int stored_bits = 4;    // of the weights: 2, 4 or 8
  int group_columns = 0;  // that share a scale; 0: all of a channel
  ElementType input = ElementType::bfloat16;
  ElementType output = ElementType::bfloat16;
  /// Weights, scales and zero points are older than the kernel before this one on the stream: the product may start
  /// while that one still runs (compute capability 9.0 on).
  bool early = false;
};

/// How a weight-only product runs: plain data, made once per shape on the host.
struct WeightOnlyPlan {
  WeightOnlyShape shape;
  WeightOnlyPath path = WeightOnlyPath::tiles128;
  int channel_tiles = 0, token_tiles = 0, splits = 1;
  int blocks_at_once = 1, split_columns = 1;  // of a multiprocessor; that a step of a block takes
  LaunchShape launch;
  std::int64_t workspace_bytes = 0;  // zeroed once by the caller; one per stream
  void* encode_rows = nullptr;       // of the pipelined paths: cuTensorMapEncodeTiled

  [[nodiscard]] constexpr const char* describe() const noexcept { return weight_only_path_name(path); }
};

namespace detail {

/// Whether a shape has several scales per channel.
[[nodiscard]] constexpr bool has_groups(const WeightOnlyShape& s) noexcept {
  return s.group_columns != 0 && s.group_columns < s.columns;
}

/// The block of a path: what a template of element, bits, groups and path names.
template <class E, int Bits, bool Grouped, WeightOnlyPath Path>
struct WeightOnlyBlock;
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::stream8> {
  using Type = WeightOnlyStream<E, Bits, 1, 1, 8, Bits == 8 ? 2 : Bits == 2 ? 6 : Grouped ? 3 : 4, 2, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::stream16> {
  using Type = WeightOnlyStream<E, Bits, 1, 2, 8, Bits == 8 ? 2 : 3, Bits == 2 && Grouped ? 1 : 2, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::stream32> {
  using Type = WeightOnlyStream<E, Bits, 1, 4, 8, 2, 1, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::stream64> {
  using Type = WeightOnlyStream<E, Bits, 1, 8, 8, 2, 1, false>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::alone8> {
  using Type = WeightOnlyStream<E, Bits, 1, 1, Bits == 8 ? 8 : 16, 3, 1, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::alone16> {
  using Type = WeightOnlyStream<E, Bits, 1, 2, Bits == 8 ? 8 : 12, 3, 1, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::tiles64> {
  using Type = WeightOnlyTile<E, Bits, 2, 2, 4, 4, 2>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::tiles128> {
  using Type = WeightOnlyTile<E, Bits, 2, 4, 4, 4, 1>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::pipeline64> {
  using Type = WeightOnlyPipeline<E, Bits, 64, Bits == 8 ? 9 : 10, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::pipeline128> {
  using Type = WeightOnlyPipeline<E, Bits, 128, Bits == 8 ? 7 : 8, Grouped>;
};
template <class E, int Bits, bool Grouped>
struct WeightOnlyBlock<E, Bits, Grouped, WeightOnlyPath::pipeline256> {
  using Type = WeightOnlyPipeline<E, Bits, 256, Bits == 8 ? 4 : 5, false>;
};

template <class Type>
struct TypeName {
  using Block = Type;
};

/// f(TypeName<block>{}) for a path of weights of `Bits` bits.
template <class E, int Bits, bool Grouped, class F>
constexpr auto with_weight_only_path(WeightOnlyPath path, F&& f) {
  using P = WeightOnlyPath;
  const auto block = [&]<P Path>() { return f(TypeName<typename WeightOnlyBlock<E, Bits, Grouped, Path>::Type>{}); };
  switch (path) {
    case P::stream8:
      return block.template operator()<P::stream8>();
    case P::stream16:
      return block.template operator()<P::stream16>();
    case P::stream32:
      return block.template operator()<P::stream32>();
    case P::stream64:
      return block.template operator()<P::stream64>();
    case P::alone8:
      return block.template operator()<P::alone8>();
    case P::alone16:
      return block.template operator()<P::alone16>();
    case P::tiles64:
      return block.template operator()<P::tiles64>();
    case P::tiles128:
      return block.template operator()<P::tiles128>();
    case P::pipeline64:
      return block.template operator()<P::pipeline64>();
    case P::pipeline128:
      return block.template operator()<P::pipeline128>();
    default:
      return block.template operator()<P::pipeline256>();
  }
}

/// f(TypeName<block>{}) for a shape and a path.
template <class E, class F>
constexpr auto with_weight_only_block(const WeightOnlyShape& s, WeightOnlyPath path, F&& f) {
  const auto with_bits = [&]<bool Grouped>() {
    return s.stored_bits == 2   ? with_weight_only_path<E, 2, Grouped>(path, f)
           : s.stored_bits == 4 ? with_weight_only_path<E, 4, Grouped>(path, f)
                                : with_weight_only_path<E, 8, Grouped>(path, f);
  };
  return has_groups(s) ? with_bits.template operator()<true>() : with_bits.template operator()<false>();
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
