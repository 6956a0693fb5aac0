#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/weight_only_paths.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

namespace detail {

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
  if (std::int64_t{s.rows} * s.channels > most_product_outputs)
    return {ErrorCode::unsupported, "a product of ", s.rows,
            " tokens and ",         s.channels,      " channels is too large for one launch; take fewer tokens"};
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
  detail::with_weight_only_block<BFloat16>(shape, path, [&](auto name) {
    using Block = typename decltype(name)::Block;
    const int units = (shape.channels + unit_channels - 1) / unit_channels;
    plan.channel_tiles = (units + Block::channel_warps - 1) / Block::channel_warps;
    plan.token_tiles = (shape.rows + Block::tokens - 1) / Block::tokens;
    plan.blocks_at_once = Block::blocks_at_once;
    plan.split_columns = Block::split_columns;
    const int tiles = plan.channel_tiles * plan.token_tiles;
    plan.launch = {tiles * splits, Block::threads, Block::shared_bytes};
    if constexpr (requires { Block::kept_bytes; }) {
      if (splits == 1 && tiles > device.multiprocessors && device.multiprocessors > 0)
        plan.launch.blocks = device.multiprocessors;  // they walk
      plan.launch.cluster = splits;
    } else if (splits > 1) {
      if constexpr (requires { Block::items; })
        plan.workspace_bytes = stream_split_bytes(tiles, Block::items, splits);
      else
        plan.workspace_bytes = float_split_bytes(std::int64_t{tiles} * Block::split_slots, Block::warp_words, splits);
    }
  });
  // Blocks of the next kernel must find their places wherever they come: where a stream leaves half of them free, two
  // of its successor's would meet on one multiprocessor while others idle.
  plan.launch.early =
      shape.early && device.major >= 9 && (is_pipelined(path) || 2 * plan.launch.blocks > 3 * device.multiprocessors);
  if ((path == WeightOnlyPath::stream64 || path == WeightOnlyPath::pipeline256) && detail::has_groups(shape))
    return Status(ErrorCode::unsupported, plan.describe(), ": takes one scale per channel, not groups of ",
                  shape.group_columns, " columns");
  if (is_pipelined(path)) {
    if (!device.group_products || device.encode_rows == nullptr)
      return Status(ErrorCode::unsupported, plan.describe(),
                    ": needs a Hopper GPU, a driver that describes tensors, and code compiled for sm_90a");
    if (shape.columns == 0) return Status(ErrorCode::unsupported, plan.describe(), ": needs columns");
    const int most = shape.columns <= 8 * float_unit_columns
                         ? (shape.columns + float_unit_columns - 1) / float_unit_columns
                         : 8;  // blocks of a cluster, on any device
    if (splits > most)
      return Status(ErrorCode::unsupported, plan.describe(), ": splits ", shape.columns, " columns by ", most,
                    " at most, not by ", splits);
    plan.encode_rows = device.encode_rows;
  }
  if (plan.launch.shared_bytes > device.shared_bytes)
    return Status(ErrorCode::unsupported, plan.describe(), ": needs ", plan.launch.shared_bytes,
                  " bytes of shared memory, the device gives ", device.shared_bytes);
  return plan;
}

namespace detail {

/// Whether clusters of `splits` blocks for as many tiles run at once: larger ones do not find room everywhere.
[[nodiscard]] constexpr bool clusters_fit(int tiles, int splits, int multiprocessors) noexcept {
  const int room = splits <= 2 ? multiprocessors : splits <= 4 || splits == 8 ? multiprocessors * 7 / 8 : 0;
  return tiles * splits <= room;
}

/// The quickest of Hopper's own paths and its splits, as was measured on an H200: of a stage of 64 columns a block of
/// 64, 128 or 256 tokens takes 13, 16 or 28 units of time, of a cluster's start and join each of its blocks 70.
struct PipelineChoice {
  WeightOnlyPath path = WeightOnlyPath::pipeline64;
  int splits = 1;
};
[[nodiscard]] constexpr PipelineChoice choose_float_pipeline(const WeightOnlyShape& s, int multiprocessors) noexcept {
  using P = WeightOnlyPath;
  const int stages = (s.columns + float_unit_columns - 1) / float_unit_columns;
  const int channel_tiles = (s.channels + 2 * unit_channels - 1) / (2 * unit_channels);
  PipelineChoice best;
  std::int64_t least = -1;
  for (const P path : {P::pipeline64, P::pipeline128, P::pipeline256}) {
    const int tokens = path == P::pipeline64 ? 64 : path == P::pipeline128 ? 128 : 256;
    const int stage = path == P::pipeline64 ? 13 : path == P::pipeline128 ? 16 : 28;
    if (tokens / 2 >= s.rows && tokens > 64) continue;  // mostly empty tiles
    if ((path == P::pipeline64 && s.rows > 128) || (path == P::pipeline256 && has_groups(s))) continue;
    const std::int64_t tiles = std::int64_t{channel_tiles} * ((s.rows + tokens - 1) / tokens);
    for (int splits = 1; splits <= 8; ++splits) {
      if (splits > 1 && (16 * splits > stages || tiles > multiprocessors ||
                         !clusters_fit(static_cast<int>(tiles), splits, multiprocessors)))
        continue;
      const std::int64_t waves = splits > 1 ? 1 : (tiles + multiprocessors - 1) / multiprocessors;
      const std::int64_t time = waves * ((stages + splits - 1) / splits) * stage + (splits > 1 ? 70 * splits : 0);
      if (least >= 0 && time >= least) continue;
      least = time;
      best = {path, splits};
    }
  }
  return best;
}

}  // namespace detail

/// The plan for a shape on a device. Errors: sizes out of range, tokens in float32, a device without matrix units.
[[nodiscard]] inline Result<WeightOnlyPlan> plan_weight_only(const WeightOnlyShape& shape,
                                                             const DeviceCapabilities& device) noexcept {
  if (Status status = detail::check_weight_only(shape, device); !status.ok()) return status;
  using P = WeightOnlyPath;
  const int multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  if (shape.rows > 32 && device.group_products && device.encode_rows != nullptr && shape.columns > 0) {
    const auto [path, splits] = detail::choose_float_pipeline(shape, multiprocessors);
    if (auto plan = plan_weight_only(shape, device, path, splits)) return plan;
  }
  const bool groups = detail::has_groups(shape);
  P path = shape.rows <= 8    ? P::stream8
           : shape.rows <= 16 ? P::stream16
           : shape.rows <= 32 ? P::stream32
           : shape.rows <= 64 ? (groups ? P::tiles64 : P::stream64)
                              : P::tiles128;
  // Devices with less shared memory take other paths.
  for (const P other : {shape.rows <= 64 ? P::tiles64 : P::tiles128, P::tiles64, P::stream16, P::stream8})
    if (!plan_weight_only(shape, device, path, 1)) path = other;
  auto plan = plan_weight_only(shape, device, path, 1);
  if (!plan) return plan;
  // Few blocks: split the columns, as long as all blocks run at once and have some steps each. A join costs the
  // streams more than what half of the multiprocessors bring.
  const int blocks = plan->launch.blocks > 0 ? plan->launch.blocks : 1;
  const int steps = shape.columns / plan->split_columns;
  int most = plan->blocks_at_once * multiprocessors / blocks;
  if (most > steps / 4) most = steps / 4;
  int splits = most < 1 ? 1 : most;
  if (path <= P::stream64) {
    splits = 1;
    while (2 * splits * blocks <= multiprocessors + multiprocessors / 8 && 2 * splits <= most) splits *= 2;
    // Where every block may have a multiprocessor, it takes more warps; measured for 4 bits only.
    const P alone = path == P::stream8 && groups ? P::alone8 : path == P::stream16 ? P::alone16 : path;
    if (alone != path && shape.stored_bits == 4 && splits * blocks <= multiprocessors)
      if (auto better = plan_weight_only(shape, device, alone, splits)) return better;
  }
  return plan_weight_only(shape, device, path, splits);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const WeightOnlyPlan& plan, const WeightOnlyArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  const auto with = [&](auto name) -> Status {
    using Block = typename decltype(name)::Block;
    const auto start = [&](auto kernel, const auto&... more) {
      return run(kernel, plan.launch, a, more..., plan.shape.output, plan.channel_tiles, plan.token_tiles, plan.splits);
    };
    if constexpr (requires { Block::items; })
      return run(weight_only_stream<Block>, plan.launch, a, plan.shape.output, plan.channel_tiles, plan.token_tiles,
                 plan.splits, plan.launch.early);
    else if constexpr (requires { Block::kept_bytes; })
      return start(weight_only_pipeline<Block>, tokens_map(plan.encode_rows, a, Block::tokens),
                   output_map(plan.encode_rows, a, plan.shape.output, Block::output_rows));
    else
      return start(weight_only_tiles<Block>);
  };
  return plan.shape.input == ElementType::half ? detail::with_weight_only_block<Half>(plan.shape, plan.path, with)
                                               : detail::with_weight_only_block<BFloat16>(plan.shape, plan.path, with);
}

/// Whether arguments are of the planned shape. Alignment: x, units, scales and zeros 16 bytes, x_stride a multiple of 8
/// elements.
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
      !aligned(a.w.scales, 16) || !aligned(a.w.zeros, 16))
    return {ErrorCode::invalid_argument,
            "rows of tokens must be 16 bytes apart or a multiple of that, from such an address on, like units, scales "
            "and zero points"};
  if (plan.workspace_bytes > 0 && (a.workspace == nullptr || !aligned(a.workspace, 16)))
    return {ErrorCode::invalid_argument, "the product needs a zeroed workspace of ", plan.workspace_bytes,
            " bytes at a multiple of 16"};
  if (!is_pipelined(plan.path) || plan.launch.blocks == 0) return {};
  if (Status status = tokens_map(plan.encode_rows, a, 8).check("the tokens"); !status.ok()) return status;
  return stores_boxes(a, s.output) ? output_map(plan.encode_rows, a, s.output, 8).check("the outputs") : Status();
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
