#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/multiply_by_groups.cuh>
#include <planish/kernels/cuda/multiply_groups.cuh>
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
  groups128,
  grouped8,  // these three for scales of groups of columns, and nothing else
  grouped32,
  grouped128
};

[[nodiscard]] constexpr const char* multiply_path_name(MultiplyPath path) noexcept {
  constexpr const char* names[] = {"streamed weights, 8 tokens, mma.sync s8",
                                   "streamed weights, 16 tokens, mma.sync s8",
                                   "streamed weights, 32 tokens, mma.sync s8",
                                   "tiles of 128 x 64, mma.sync s8",
                                   "tiles of 128 x 128, mma.sync s8",
                                   "tiles of 128 x 256, mma.sync s8",
                                   "tiles of 128 x 128, wgmma s8",
                                   "group scales, 64 x 8, mma.sync s8",
                                   "group scales, 64 x 32, mma.sync s8",
                                   "group scales, 128 x 128, mma.sync s8"};
  return names[static_cast<int>(path)];
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
using Groups128 = MultiplyGroup<Bits, Bits == 4 ? 6 : 5>;
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
};

/// How a product runs: plain data, made once per shape on the host.
struct MultiplyPlan {
  MultiplyShape shape;
  MultiplyPath path = MultiplyPath::tiles128;
  int channel_tiles = 0, token_tiles = 0, splits = 1;
  LaunchShape launch;
  std::int64_t workspace_bytes = 0;  // zeroed once by the caller; one per stream

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
  if (splits > 1)
    plan.workspace_bytes = split_bytes(std::int64_t{plan.channel_tiles} * plan.token_tiles * warps, Tile::warp_words);
  return plan;
}

template <int Bits>
[[nodiscard]] constexpr MultiplyPlan multiply_plan_of(const MultiplyShape& s, MultiplyPath path, int splits) noexcept {
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
    case MultiplyPath::groups128:
      return multiply_plan_of<Groups128<Bits>>(s, path, 2, 8, splits);
    case MultiplyPath::grouped8:
      return multiply_plan_of<Grouped8<Bits>>(s, path, 1, 4, 1);
    case MultiplyPath::grouped32:
      return multiply_plan_of<Grouped32<Bits>>(s, path, 1, 4, 1);
    default:
      return multiply_plan_of<Grouped128<Bits>>(s, path, 2, 8, 1);
  }
}

[[nodiscard]] constexpr Status check_multiply(const MultiplyShape& s, const DeviceCapabilities& device) noexcept {
  if (!device.has_matrix_units())
    return {ErrorCode::unsupported, "integer products need compute capability 8.0, this device has ", device.major, ".",
            device.minor};
  if (s.rows < 0 || s.channels < 0 || s.columns < 0 || s.rows > (1 << 24) || s.channels > (1 << 24))
    return {ErrorCode::invalid_argument,
            "a product of ",
            s.rows,
            " tokens, ",
            s.channels,
            " channels, ",
            s.columns,
            " columns"};
  if (s.columns > most_columns)
    return {ErrorCode::unsupported, "rows of ", s.columns, " codes: exact int32 sums end at ", most_columns};
  if (s.stored_bits != 4 && s.stored_bits != 8)
    return {ErrorCode::invalid_argument, "weights are stored in 4 or 8 bits, not ", s.stored_bits};
  if (s.group_columns < 0 || s.group_columns % 32 != 0)
    return {ErrorCode::unsupported, "integer products on a GPU take groups of a multiple of 32 columns, not of ",
            s.group_columns};
  if (s.group_columns != 0 && s.output == ElementType::int32)
    return {ErrorCode::unsupported, "accumulators as outputs: only of weights with one scale per channel"};
  return {};
}

}  // namespace detail

/// The plan that takes a given path with a given number of column splits (at least 1): for tuning and tests.
[[nodiscard]] inline Result<MultiplyPlan> plan_multiply(const MultiplyShape& shape, const DeviceCapabilities& device,
                                                        MultiplyPath path, int splits) noexcept {
  if (Status status = detail::check_multiply(shape, device); !status.ok()) return status;
  const MultiplyPlan plan = shape.stored_bits == 4 ? detail::multiply_plan_of<4>(shape, path, splits)
                                                   : detail::multiply_plan_of<8>(shape, path, splits);
  if ((path >= MultiplyPath::grouped8) != (shape.group_columns != 0))
    return Status(ErrorCode::unsupported, multiply_path_name(path),
                  shape.group_columns != 0 ? ": takes one scale per channel" : ": takes scales of groups of columns");
  if (path == MultiplyPath::groups128 && !device.group_products)
    return Status(ErrorCode::unsupported, multiply_path_name(path),
                  ": needs a Hopper GPU and code compiled for sm_90a");
  if (plan.launch.shared_bytes > device.shared_bytes)
    return Status(ErrorCode::unsupported, multiply_path_name(path), ": needs ", plan.launch.shared_bytes,
                  " bytes of shared memory, the device gives ", device.shared_bytes);
  return plan;
}

/// The plan for a shape on a device. Errors: sizes out of range, a device without matrix units.
[[nodiscard]] inline Result<MultiplyPlan> plan_multiply(const MultiplyShape& shape,
                                                        const DeviceCapabilities& device) noexcept {
  if (Status status = detail::check_multiply(shape, device); !status.ok()) return status;
  const int units = (shape.columns + unit_columns - 1) / unit_columns;
  const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  // Which path is the quickest where was measured on an H200; see docs/cuda.md.
  const bool many_nibbles = shape.stored_bits == 4 && shape.channels >= 8192;
  MultiplyPath path = shape.rows <= 8                     ? MultiplyPath::stream8
                      : shape.rows <= 16 && !many_nibbles ? MultiplyPath::stream16
                                                          : MultiplyPath::stream32;
  if (shape.rows > 32) {
    const bool large_weights = shape.channels >= 8192 || shape.columns >= 8192;
    const bool groups = device.group_products && (shape.rows > 128 || (shape.rows > 64 && large_weights));
    // Large tiles of mma.sync, as soon as their last wave is about full.
    const int tiles = detail::multiply_plan_of<8>(shape, MultiplyPath::tiles256, 1).launch.blocks;
    const int waves = (tiles + multiprocessors - 1) / multiprocessors;
    path = groups                                     ? MultiplyPath::groups128
           : shape.rows <= 128                        ? MultiplyPath::tiles64
           : 4 * tiles >= 3 * waves * multiprocessors ? MultiplyPath::tiles256
                                                      : MultiplyPath::tiles128;
    // Devices with less shared memory take smaller tiles.
    for (const MultiplyPath other : {MultiplyPath::tiles128, MultiplyPath::tiles64, MultiplyPath::stream32})
      if (!plan_multiply(shape, device, path, 1)) path = other;
  }
  if (shape.group_columns != 0) {
    path = shape.rows <= 8    ? MultiplyPath::grouped8
           : shape.rows <= 64 ? MultiplyPath::grouped32
                              : MultiplyPath::grouped128;
    if (!plan_multiply(shape, device, path, 1)) path = MultiplyPath::grouped32;  // of the least shared memory
    return plan_multiply(shape, device, path, 1);
  }
  auto plan = plan_multiply(shape, device, path, 1);
  if (!plan) return plan;
  // Few blocks: split the columns until every multiprocessor has one, or two where two fit, of at least four steps.
  const int blocks = plan->launch.blocks > 0 ? plan->launch.blocks : 1;
  const int wanted = (path == MultiplyPath::tiles64 ? 2 : 1) * multiprocessors / blocks;
  int splits = wanted < units / 4 ? wanted : units / 4;
  if (splits < 1) splits = 1;
  return plan_multiply(shape, device, path, splits);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const MultiplyPlan& plan, const MultiplyArguments& a, Run&& run) noexcept {
  const auto with = [&](auto kernel) {
    return run(kernel, plan.launch, a, plan.shape.output, plan.channel_tiles, plan.token_tiles, plan.splits);
  };
  const auto of_bits = [&](auto bits) {
    constexpr int b = decltype(bits)::value;
    switch (plan.path) {
      case MultiplyPath::stream8:
        return with(multiply_stream<Stream8<b>>);
      case MultiplyPath::stream16:
        return with(multiply_stream<Stream16<b>>);
      case MultiplyPath::stream32:
        return with(multiply_stream<Stream32<b>>);
      case MultiplyPath::tiles64:
        return with(multiply_tiles<Tiles64<b>>);
      case MultiplyPath::tiles128:
        return with(multiply_tiles<Tiles128<b>>);
      case MultiplyPath::tiles256:
        return with(multiply_tiles<Tiles256<b>>);
      case MultiplyPath::groups128:
        return with(multiply_groups<Groups128<b>>);
      case MultiplyPath::grouped8:
        return with(multiply_by_groups<Grouped8<b>>);
      case MultiplyPath::grouped32:
        return with(multiply_by_groups<Grouped32<b>>);
      default:
        return with(multiply_by_groups<Grouped128<b>>);
    }
  };
  if (plan.launch.blocks == 0) return {};
  return plan.shape.stored_bits == 4 ? of_bits(std::integral_constant<int, 4>{})
                                     : of_bits(std::integral_constant<int, 8>{});
}

/// Whether arguments are of the planned shape. Alignment: codes and units 16 bytes, x.stride a multiple of 16.
[[nodiscard]] inline Status check(const MultiplyPlan& plan, const MultiplyArguments& a) noexcept {
  const MultiplyShape& s = plan.shape;
  if (a.x.rows != s.rows || a.x.columns != s.columns || a.w.channels != s.channels || a.w.columns != s.columns ||
      a.w.stored_bits != s.stored_bits)
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
            a.x.rows,
            ", ",
            a.w.channels,
            " of ",
            a.x.columns,
            " and ",
            a.w.stored_bits};
  if (a.w.group_columns != s.group_columns)
    return {ErrorCode::shape_mismatch, "the product was planned for groups of ", s.group_columns,
            " columns (0: all of a channel), not of ", a.w.group_columns};
  if (a.x.stride % 16 != 0 || reinterpret_cast<std::uintptr_t>(a.x.codes) % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(a.w.units) % 16 != 0)
    return {ErrorCode::invalid_argument, "codes, their stride and weights must be multiples of 16 bytes"};
  if (plan.workspace_bytes > 0 && a.workspace == nullptr)
    return {ErrorCode::invalid_argument, "the product needs a zeroed workspace of ", plan.workspace_bytes, " bytes"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
