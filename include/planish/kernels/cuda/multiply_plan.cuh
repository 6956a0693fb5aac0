#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/multiply_paths.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

namespace detail {

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
  if (std::int64_t{s.rows} * s.channels > most_product_outputs)
    return {ErrorCode::unsupported, "a product of ", s.rows,
            " tokens and ",         s.channels,      " channels is too large for one launch; take fewer tokens"};
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

// Which path is the quickest where was measured on an H200; see docs/cuda.md.

/// The path on any device with matrix units.
[[nodiscard]] constexpr MultiplyPath choose_path(const MultiplyShape& shape, int multiprocessors) noexcept {
  if (shape.group_columns != 0)
    return shape.rows <= 8    ? MultiplyPath::grouped8
           : shape.rows <= 64 ? MultiplyPath::grouped32
                              : MultiplyPath::grouped128;
  const bool many_nibbles = shape.stored_bits == 4 && shape.channels >= 8192;
  if (shape.rows <= 8) return MultiplyPath::stream8;
  if (shape.rows <= 16 && !many_nibbles) return MultiplyPath::stream16;
  if (shape.rows <= 32) return MultiplyPath::stream32;
  if (shape.rows <= 128) return MultiplyPath::tiles64;
  // Large tiles, as soon as their last wave is about full.
  const std::int64_t tiles = multiply_plan_of<8>(shape, MultiplyPath::tiles256, 1, multiprocessors).launch.blocks;
  const std::int64_t waves = (tiles + multiprocessors - 1) / multiprocessors;
  return 4 * tiles >= 3 * waves * multiprocessors ? MultiplyPath::tiles256 : MultiplyPath::tiles128;
}

/// Whether Hopper's own paths are the quickest: for up to 8 tokens the streams are.
[[nodiscard]] constexpr bool is_pipeline_quicker(const MultiplyShape& shape) noexcept {
  return shape.group_columns == 0 && shape.columns != 0 && shape.rows > 8;
}

/// The path on Hopper.
[[nodiscard]] constexpr MultiplyPath choose_pipeline(const MultiplyShape& shape, int multiprocessors) noexcept {
  if (shape.rows <= 16) return MultiplyPath::pipeline16;
  if (shape.rows <= 64) return MultiplyPath::pipeline64;
  // Of nibbles twice as many tiles, in clusters of two, fill the device where those of 128 tokens do not.
  const int channel_tiles = (shape.channels + 2 * unit_channels - 1) / (2 * unit_channels);
  const bool fill =
      shape.stored_bits == 4 && 4 * channel_tiles <= multiprocessors && 6 * channel_tiles > multiprocessors;
  if (shape.rows <= 128) return fill ? MultiplyPath::pipeline64 : MultiplyPath::pipeline128;
  // Tokens that a multiprocessor computes one after the other; large tiles cost a tenth less per token.
  const auto in_turn = [&](MultiplyPath path, int tokens) {
    const MultiplyPlan plan = multiply_plan_of<8>(shape, path, 1, multiprocessors);
    const std::int64_t tiles = std::int64_t{plan.channel_tiles} * plan.token_tiles;
    return (tiles + multiprocessors - 1) / multiprocessors * tokens;
  };
  const bool large = 10 * in_turn(MultiplyPath::pipeline256, 256) <= 11 * in_turn(MultiplyPath::pipeline128, 128);
  return large ? MultiplyPath::pipeline256 : MultiplyPath::pipeline128;
}

}  // namespace detail

/// The plan that takes a given path with a given number of column splits (at least 1): for tuning and tests.
[[nodiscard]] inline Result<MultiplyPlan> plan_multiply(const MultiplyShape& shape, const DeviceCapabilities& device,
                                                        MultiplyPath path, int splits) noexcept {
  if (Status status = detail::check_multiply(shape, device); !status.ok()) return status;
  MultiplyPlan plan = shape.stored_bits == 4 ? detail::multiply_plan_of<4>(shape, path, splits, device.multiprocessors)
                                             : detail::multiply_plan_of<8>(shape, path, splits, device.multiprocessors);
  if ((path >= MultiplyPath::grouped8) != (shape.group_columns != 0))
    return Status(ErrorCode::unsupported, multiply_path_name(path),
                  shape.group_columns != 0 ? ": takes one scale per channel" : ": takes scales of groups of columns");
  if (is_pipelined(path)) {
    if (!device.group_products || device.encode_rows == nullptr)
      return Status(ErrorCode::unsupported, multiply_path_name(path),
                    ": needs a Hopper GPU, a driver that describes tensors, and code compiled for sm_90a");
    if (shape.columns == 0) return Status(ErrorCode::unsupported, multiply_path_name(path), ": needs columns");
    plan.encode_rows = device.encode_rows;
  }
  if (path <= MultiplyPath::stream32) plan.launch.early = shape.early && device.major >= 9;
  if (plan.launch.shared_bytes > device.shared_bytes)
    return Status(ErrorCode::unsupported, multiply_path_name(path), ": needs ", plan.launch.shared_bytes,
                  " bytes of shared memory, the device gives ", device.shared_bytes);
  return plan;
}

/// The plan for a shape on a device. Errors: sizes out of range, a device without matrix units.
[[nodiscard]] inline Result<MultiplyPlan> plan_multiply(const MultiplyShape& shape,
                                                        const DeviceCapabilities& device) noexcept {
  if (Status status = detail::check_multiply(shape, device); !status.ok()) return status;
  const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  MultiplyPath path = detail::choose_path(shape, multiprocessors);
  if (device.group_products && device.encode_rows != nullptr && detail::is_pipeline_quicker(shape))
    path = detail::choose_pipeline(shape, multiprocessors);
  // Devices with less shared memory take smaller tiles.
  for (const MultiplyPath other : {MultiplyPath::tiles128, MultiplyPath::tiles64, MultiplyPath::stream32})
    if (shape.group_columns == 0 && !plan_multiply(shape, device, path, 1)) path = other;
  if (shape.group_columns != 0 && !plan_multiply(shape, device, path, 1)) path = MultiplyPath::grouped32;
  auto plan = plan_multiply(shape, device, path, 1);
  if (!plan || shape.group_columns != 0) return plan;
  // Few blocks: split the columns until every multiprocessor has one, or two where two fit, of at least four steps.
  // Clusters do not fit onto all multiprocessors at once.
  const int blocks = plan->launch.blocks > 0 ? plan->launch.blocks : 1;
  const int units = (shape.columns + unit_columns - 1) / unit_columns;
  const bool two_fit = path == MultiplyPath::tiles64 || (path == MultiplyPath::stream8 && units >= 64);
  const int wanted = (two_fit              ? 2 * multiprocessors
                      : is_pipelined(path) ? 4 * multiprocessors / 5
                                           : multiprocessors) /
                     blocks;
  int splits = wanted < units / 4 ? wanted : units / 4;
  // Pairs find room everywhere; streams of bytes need no more of them.
  const bool pairs = is_pipelined(path) && 2 * blocks <= multiprocessors && units >= 8;
  if (pairs && (splits < 2 || (path == MultiplyPath::pipeline16 && shape.stored_bits == 8))) splits = 2;
  return plan_multiply(shape, device, path, splits < 1 ? 1 : splits);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const MultiplyPlan& plan, const MultiplyArguments& a, Run&& run) noexcept {
  const auto with = [&](auto kernel) {
    return run(kernel, plan.launch, a, plan.shape.output, plan.channel_tiles, plan.token_tiles, plan.splits);
  };
  const auto pipelined = [&](auto kernel, int box_rows, int output_rows) {
    return run(kernel, plan.launch, a, tokens_map(plan.encode_rows, a, box_rows),
               output_map(plan.encode_rows, a, plan.shape.output, output_rows), plan.shape.output, plan.channel_tiles,
               plan.token_tiles, plan.splits);
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
      case MultiplyPath::pipeline16:
        return pipelined(multiply_pipeline<Pipeline16<b>>, Pipeline16<b>::tokens, Pipeline16<b>::output_rows);
      case MultiplyPath::pipeline64:
        return pipelined(multiply_pipeline<Pipeline64<b>>, Pipeline64<b>::tokens, Pipeline64<b>::output_rows);
      case MultiplyPath::pipeline128:
        return pipelined(multiply_pipeline<Pipeline128<b>>, Pipeline128<b>::tokens, Pipeline128<b>::output_rows);
      case MultiplyPath::pipeline256:
        return pipelined(multiply_pipeline<Pipeline256<b>>, Pipeline256<b>::tokens, Pipeline256<b>::output_rows);
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
            a.x.columns != s.columns ? a.x.columns : a.w.columns,
            " and ",
            a.w.stored_bits};
  if (a.w.group_columns != s.group_columns)
    return {ErrorCode::shape_mismatch, "the product was planned for groups of ", s.group_columns,
            " columns (0: all of a channel), not of ", a.w.group_columns};
  if (a.x.stride % 16 != 0 || reinterpret_cast<std::uintptr_t>(a.x.codes) % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(a.w.units) % 16 != 0)
    return {ErrorCode::invalid_argument, "codes, their stride and weights must be multiples of 16 bytes"};
  if (plan.workspace_bytes > 0 && (a.workspace == nullptr || reinterpret_cast<std::uintptr_t>(a.workspace) % 16 != 0))
    return {ErrorCode::invalid_argument, "the product needs a zeroed workspace of ", plan.workspace_bytes,
            " bytes at a multiple of 16"};
  if (!is_pipelined(plan.path) || plan.launch.blocks == 0) return {};
  if (Status status = tokens_map(plan.encode_rows, a, 8).check("the tokens"); !status.ok()) return status;
  return stores_boxes(a, s.output) ? output_map(plan.encode_rows, a, s.output, 8).check("the outputs") : Status();
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
