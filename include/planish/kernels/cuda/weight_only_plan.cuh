#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/weight_only_groups.cuh>
#include <planish/kernels/cuda/weight_only_tiles.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The compiled shapes of the weight-only product. Tokens of a block in their names; of `groups256` channels.
enum class WeightOnlyPath : std::uint8_t { stream8, stream16, stream32, tiles64, tiles128, groups128, groups256 };
inline constexpr int weight_only_paths = 7;

[[nodiscard]] constexpr const char* weight_only_path_name(WeightOnlyPath path) noexcept {
  constexpr const char* names[] = {"streamed weights, 8 tokens, mma.sync of 16 bits",
                                   "streamed weights, 16 tokens, mma.sync of 16 bits",
                                   "streamed weights, 32 tokens, mma.sync of 16 bits",
                                   "tiles of 128 x 64, mma.sync of 16 bits",
                                   "tiles of 128 x 128, mma.sync of 16 bits",
                                   "tiles of 128 x 128, wgmma of 16 bits",
                                   "tiles of 256 x 128, wgmma of 16 bits"};
  return names[static_cast<int>(path)];
}

/// What is known of a weight-only product before its data.
struct WeightOnlyShape {
  int rows = 0;  // tokens
  int channels = 0;
  int columns = 0;
  int stored_bits = 4;    // of the weights: 2, 4 or 8
  int group_columns = 0;  // that share a scale; 0: all of a channel
  ElementType input = ElementType::bfloat16;
  ElementType output = ElementType::bfloat16;
};

/// How a weight-only product runs: plain data, made once per shape on the host.
struct WeightOnlyPlan {
  WeightOnlyShape shape;
  WeightOnlyPath path = WeightOnlyPath::tiles128;
  int channel_tiles = 0, token_tiles = 0, splits = 1;
  int blocks_at_once = 1, split_columns = 1;  // of a multiprocessor; that a step of a block takes
  LaunchShape launch;
  std::int64_t workspace_bytes = 0;  // zeroed once by the caller; one per stream

  [[nodiscard]] constexpr const char* describe() const noexcept { return weight_only_path_name(path); }
};

namespace detail {

/// The block of a path: what a template of element, bits and path names.
template <class E, int Bits, WeightOnlyPath Path>
struct WeightOnlyBlock;
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::stream8> {
  using Type = WeightOnlyTile<E, Bits, 2, 1, 4, 1, Bits == 8 ? 2 : 4, 2>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::stream16> {
  using Type = WeightOnlyTile<E, Bits, Bits == 8 ? 2 : 4, 1, 2, 2, Bits == 8 ? 3 : 4,
                              Bits == 8   ? 3
                              : Bits == 4 ? 2
                                          : 1>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::stream32> {
  using Type = WeightOnlyTile<E, Bits, 4, 1, 2, 4, Bits == 8 ? 2 : 3, 1>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::tiles64> {
  using Type = WeightOnlyTile<E, Bits, 2, 2, 1, 4, 4, 2>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::tiles128> {
  using Type = WeightOnlyTile<E, Bits, 2, 4, 1, 4, 4, 1>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::groups128> {
  using Type = WeightOnlyGroup<E, Bits, false, Bits == 8 ? 4 : 5>;
};
template <class E, int Bits>
struct WeightOnlyBlock<E, Bits, WeightOnlyPath::groups256> {
  using Type = WeightOnlyGroup<E, Bits, true, Bits == 8 ? 3 : 4>;
};

template <class Type>
struct TypeName {
  using Block = Type;
};

/// f(TypeName<block>{}) for a path of weights of `Bits` bits.
template <class E, int Bits, class F>
constexpr auto with_weight_only_path(WeightOnlyPath path, F&& f) {
  using P = WeightOnlyPath;
  switch (path) {
    case P::stream8:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::stream8>::Type>{});
    case P::stream16:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::stream16>::Type>{});
    case P::stream32:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::stream32>::Type>{});
    case P::tiles64:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::tiles64>::Type>{});
    case P::tiles128:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::tiles128>::Type>{});
    case P::groups128:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::groups128>::Type>{});
    default:
      return f(TypeName<typename WeightOnlyBlock<E, Bits, P::groups256>::Type>{});
  }
}

/// f(TypeName<block>{}) for a shape and a path.
template <class E, class F>
constexpr auto with_weight_only_bits(int bits, WeightOnlyPath path, F&& f) {
  return bits == 2   ? with_weight_only_path<E, 2>(path, f)
         : bits == 4 ? with_weight_only_path<E, 4>(path, f)
                     : with_weight_only_path<E, 8>(path, f);
}

[[nodiscard]] constexpr Status check_weight_only(const WeightOnlyShape& s, const DeviceCapabilities& device) noexcept {
  if (!device.has_matrix_units())
    return {ErrorCode::unsupported, "weight-only products need compute capability 8.0, this device has ", device.major,
            ".", device.minor};
  if (s.rows < 0 || s.channels < 0 || s.columns < 0 || s.rows > (1 << 24) || s.channels > (1 << 24) ||
      s.columns > (1 << 24))
    return {ErrorCode::invalid_argument,
            "a product of ",
            s.rows,
            " tokens, ",
            s.channels,
            " channels, ",
            s.columns,
            " columns"};
  if (s.stored_bits != 2 && s.stored_bits != 4 && s.stored_bits != 8)
    return {ErrorCode::invalid_argument, "weights are stored in 2, 4 or 8 bits, not ", s.stored_bits};
  if (s.group_columns < 0 || s.group_columns % 32 != 0)
    return {ErrorCode::unsupported, "weight-only products on a GPU take groups of a multiple of 32 columns, not of ",
            s.group_columns};
  if (s.input != ElementType::bfloat16 && s.input != ElementType::half)
    return {ErrorCode::unsupported, "weight-only products take tokens in bfloat16 or half, not in ",
            element_name(s.input), ": the matrix units multiply 16-bit floats"};
  if (s.output == ElementType::int32)
    return {ErrorCode::invalid_argument, "weight-only products give float32, bfloat16 or half, not int32"};
  return {};
}

/// Whether a shape has several scales per channel.
[[nodiscard]] constexpr bool has_groups(const WeightOnlyShape& s) noexcept {
  return s.group_columns != 0 && s.group_columns < s.columns;
}

}  // namespace detail

/// The plan that takes a given path with a given number of column splits (at least 1): for tuning and tests.
[[nodiscard]] inline Result<WeightOnlyPlan> plan_weight_only(const WeightOnlyShape& shape,
                                                             const DeviceCapabilities& device, WeightOnlyPath path,
                                                             int splits) noexcept {
  if (Status status = detail::check_weight_only(shape, device); !status.ok()) return status;
  WeightOnlyPlan plan;
  plan.shape = shape;
  plan.path = path;
  plan.splits = splits;
  detail::with_weight_only_bits<BFloat16>(shape.stored_bits, path, [&](auto name) {
    using Block = typename decltype(name)::Block;
    const int units = (shape.channels + unit_channels - 1) / unit_channels;
    plan.channel_tiles = (units + Block::channel_warps - 1) / Block::channel_warps;
    plan.token_tiles = (shape.rows + Block::tokens - 1) / Block::tokens;
    plan.blocks_at_once = Block::blocks_at_once;
    plan.split_columns = Block::split_columns;
    const int tiles = plan.channel_tiles * plan.token_tiles;
    plan.launch = {tiles * splits, Block::threads, Block::shared_bytes};
    if (splits > 1)
      plan.workspace_bytes = float_split_bytes(std::int64_t{tiles} * Block::split_slots, Block::warp_words, splits);
  });
  if (path >= WeightOnlyPath::groups128 && !device.group_products)
    return Status(ErrorCode::unsupported, plan.describe(), ": needs a Hopper GPU and code compiled for sm_90a");
  if (path == WeightOnlyPath::groups256 && detail::has_groups(shape))
    return Status(ErrorCode::unsupported, plan.describe(), ": takes one scale per channel, not groups of ",
                  shape.group_columns, " columns");
  if (plan.launch.shared_bytes > device.shared_bytes)
    return Status(ErrorCode::unsupported, plan.describe(), ": needs ", plan.launch.shared_bytes,
                  " bytes of shared memory, the device gives ", device.shared_bytes);
  return plan;
}

/// The plan for a shape on a device. Errors: sizes out of range, tokens in float32, a device without matrix units.
[[nodiscard]] inline Result<WeightOnlyPlan> plan_weight_only(const WeightOnlyShape& shape,
                                                             const DeviceCapabilities& device) noexcept {
  if (Status status = detail::check_weight_only(shape, device); !status.ok()) return status;
  using P = WeightOnlyPath;
  const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  P path = shape.rows <= 8 ? P::stream8 : shape.rows <= 16 ? P::stream16 : P::stream32;
  if (shape.rows > 32) path = shape.rows <= 64 ? P::tiles64 : P::tiles128;
  if (shape.rows > 64 && device.group_products) {
    // The wide tiles read half as much of the tokens; they pay as soon as their last wave is about full.
    const auto wide = plan_weight_only(shape, device, P::groups256, 1);
    const int tiles = wide ? wide->launch.blocks : 0, waves = (tiles + multiprocessors - 1) / multiprocessors;
    path = waves > 0 && 4 * tiles >= 3 * waves * multiprocessors ? P::groups256 : P::groups128;
  }
  for (const P other : {P::tiles64, P::stream16, P::stream8})  // devices with less shared memory take smaller tiles
    if (!plan_weight_only(shape, device, path, 1)) path = other;
  auto plan = plan_weight_only(shape, device, path, 1);
  if (!plan) return plan;
  // Few blocks: split the columns until every multiprocessor has what it can hold at once, of at least four steps.
  const int blocks = plan->launch.blocks > 0 ? plan->launch.blocks : 1;
  const int steps = shape.columns / plan->split_columns;
  const int wanted = plan->blocks_at_once * multiprocessors / blocks;
  int splits = wanted < steps / 4 ? wanted : steps / 4;
  if (splits < 1) splits = 1;
  return plan_weight_only(shape, device, path, splits);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const WeightOnlyPlan& plan, const WeightOnlyArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  const auto with = [&](auto name) -> Status {
    using Block = typename decltype(name)::Block;
    const auto start = [&](auto kernel) {
      return run(kernel, plan.launch, a, plan.shape.output, plan.channel_tiles, plan.token_tiles, plan.splits);
    };
    if constexpr (requires { Block::wide; })
      return start(weight_only_groups<Block>);
    else
      return start(weight_only_tiles<Block>);
  };
  return plan.shape.input == ElementType::half
             ? detail::with_weight_only_bits<Half>(plan.shape.stored_bits, plan.path, with)
             : detail::with_weight_only_bits<BFloat16>(plan.shape.stored_bits, plan.path, with);
}

/// Whether arguments are of the planned shape. Alignment: x, units and scales 16 bytes, zeros 8, x_stride a multiple
/// of 8 elements.
[[nodiscard]] inline Status check(const WeightOnlyPlan& plan, const WeightOnlyArguments& a) noexcept {
  const WeightOnlyShape& s = plan.shape;
  if (a.rows != s.rows || a.w.channels != s.channels || a.w.columns != s.columns || a.w.stored_bits != s.stored_bits)
    return {ErrorCode::shape_mismatch,
            "the product was planned for ",
            s.rows,
            " tokens, ",
            s.channels,
            " channels of ",
            s.columns,
            " columns and ",
            s.stored_bits,
            " bits, not ",
            a.rows,
            ", ",
            a.w.channels,
            " of ",
            a.w.columns,
            " and ",
            a.w.stored_bits};
  if (s.columns > 0 && (a.w.group_columns <= 0 || a.w.group_columns % 32 != 0 ||
                        (detail::has_groups(s) ? a.w.group_columns != s.group_columns : a.w.groups() != 1)))
    return {ErrorCode::shape_mismatch, "the product was planned for groups of ",
            detail::has_groups(s) ? s.group_columns : s.columns, " columns, not of ", a.w.group_columns};
  const auto aligned = [](const void* p, std::uintptr_t to) { return reinterpret_cast<std::uintptr_t>(p) % to == 0; };
  if (a.x_stride % 8 != 0 || a.x_stride < s.columns || !aligned(a.x, 16) || !aligned(a.w.units, 16) ||
      !aligned(a.w.scales, 16) || !aligned(a.w.zeros, 8))
    return {ErrorCode::invalid_argument,
            "rows of tokens must be 16 bytes apart or a multiple of that, from such an address on, like units and "
            "scales; zero points from 8 bytes on"};
  if (plan.workspace_bytes > 0 && a.workspace == nullptr)
    return {ErrorCode::invalid_argument, "the product needs a zeroed workspace of ", plan.workspace_bytes, " bytes"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
