#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/attend_decode.cuh>
#include <planish/kernels/cuda/device.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What is known of an attention before its data.
struct AttendShape {
  CacheShape cache;
  int sequences = 0;
  int query_heads = 0;                        // a multiple of cache.kv_heads
  int queries = 1;                            // tokens of a sequence that ask, at most most_attend_queries
  int tokens = 0;                             // of a sequence, at most: what a captured graph may grow to
  ElementType input = ElementType::bfloat16;  // of the queries
  ElementType output = ElementType::bfloat16;
  bool early =
      false;  // but for the tokens that ask, the cache is older than the kernel in front, which need not have ended
};

inline constexpr int most_attend_queries = 16;
inline constexpr int most_query_heads = 1 << 20;

/// The compiled kernels: the most channels of a head and, where the head has just these, keys and values are of one
/// width and queries of 16 bits, that width. The others take up to 8 or up to 16 lines and whatever there is.
enum class AttendPath : std::uint8_t {
  head64_width4,
  head64_width8,
  head128_width2,
  head128_width4,
  head128_width8,
  head64_lines8,
  head64_lines16,
  head128_lines8,
  head128_lines16,
  head256_lines8,
  head256_lines16
};

/// Calls f with the compiled size of a path.
template <class F>
constexpr auto with_attend_size(AttendPath path, F&& f) noexcept {
  switch (path) {
    case AttendPath::head64_width4:
      return f(AttendSize<64, 1, 4>{});
    case AttendPath::head64_width8:
      return f(AttendSize<64, 1, 8>{});
    case AttendPath::head128_width2:
      return f(AttendSize<128, 1, 2>{});
    case AttendPath::head128_width4:
      return f(AttendSize<128, 1, 4>{});
    case AttendPath::head128_width8:
      return f(AttendSize<128, 1, 8>{});
    case AttendPath::head64_lines8:
      return f(AttendSize<64, 1, 0>{});
    case AttendPath::head64_lines16:
      return f(AttendSize<64, 2, 0>{});
    case AttendPath::head128_lines8:
      return f(AttendSize<128, 1, 0>{});
    case AttendPath::head128_lines16:
      return f(AttendSize<128, 2, 0>{});
    case AttendPath::head256_lines8:
      return f(AttendSize<256, 1, 0>{});
    default:
      return f(AttendSize<256, 2, 0>{});
  }
}

struct AttendPlan {
  AttendShape shape;
  CacheLayout layout;
  AttendPath path = AttendPath::head128_lines8;
  AttendSharing sharing;
  LaunchShape launch;
  std::int64_t workspace_bytes = 0;  // zeroed once by the caller; one per stream

  [[nodiscard]] constexpr const char* describe() const noexcept {
    return sharing.splits > 1 ? "streamed pages, mma.sync of halves, sequences split over blocks"
                              : "streamed pages, mma.sync of halves";
  }
};

namespace detail {
[[nodiscard]] constexpr AttendPath attend_path(const CacheLayout& l, int lines, int parts) noexcept {
  const bool wide = lines > 8;
  if (!wide && parts == 1 && l.key_width == l.value_width) {
    if (l.head_size == 64 && l.key_width == 4) return AttendPath::head64_width4;
    if (l.head_size == 64 && l.key_width == 8) return AttendPath::head64_width8;
    if (l.head_size == 128 && l.key_width == 2) return AttendPath::head128_width2;
    if (l.head_size == 128 && l.key_width == 4) return AttendPath::head128_width4;
    if (l.head_size == 128 && l.key_width == 8) return AttendPath::head128_width8;
  }
  if (l.head_size <= 64) return wide ? AttendPath::head64_lines16 : AttendPath::head64_lines8;
  if (l.head_size <= 128) return wide ? AttendPath::head128_lines16 : AttendPath::head128_lines8;
  return wide ? AttendPath::head256_lines16 : AttendPath::head256_lines8;
}

[[nodiscard]] inline Status check_attend(const AttendShape& s, const DeviceCapabilities& device) noexcept {
  if (!device.has_matrix_units())
    return {ErrorCode::unsupported, "attention over a quantized cache needs compute capability 8.0, this device has ",
            device.major, ".", device.minor};
  if (s.query_heads < 1 || s.query_heads % s.cache.kv_heads != 0)
    return {ErrorCode::shape_mismatch, "attention: ", s.query_heads, " query heads are not a multiple of ",
            s.cache.kv_heads,          " KV heads"};
  if (s.query_heads > most_query_heads)
    return {ErrorCode::unsupported, "attention: ", s.query_heads, " query heads, it takes up to ", most_query_heads};
  if (s.sequences < 0 || s.tokens < 0 || s.queries < 1 || s.sequences > (1 << 16) || s.tokens > (1 << 26))
    return {ErrorCode::invalid_argument,
            "attention: ",
            s.queries,
            " queries for each of ",
            s.sequences,
            " sequences of ",
            s.tokens,
            " tokens"};
  if (s.queries > most_attend_queries)
    return {ErrorCode::unsupported,
            "attention: ",
            s.queries,
            " queries a sequence, decoding takes up to ",
            most_attend_queries,
            "; for a prompt turn the pages into rows with plan_dequantize_cache and attend with a kernel of the host's "
            "own"};
  if (s.input == ElementType::int32 || s.output == ElementType::int32)
    return {ErrorCode::invalid_argument, "attention: queries and outputs are floats, not int32"};
  return {};
}

/// How many warps a block of `slots` blocks has, each with `tiles` to share: those that keep most warps on a
/// multiprocessor, and of these those that are through first.
template <class Size>
[[nodiscard]] constexpr int attend_warps(const CacheLayout& l, int parts, std::int64_t slots, int tiles,
                                         const DeviceCapabilities& device) noexcept {
  int best = 0, most = 0;
  std::int64_t least = 0;
  for (int warps = Size::most_warps; warps > 0; --warps) {
    const int bytes = attend_memory<Size>(l, warps, parts).bytes;
    if (bytes > device.shared_bytes) continue;
    const int by_memory = (device.shared_bytes + 1024) / (bytes + 1024);
    const int by_registers = Size::most_warps * Size::blocks / warps;
    const int blocks = by_memory < by_registers ? by_memory : by_registers;
    const std::int64_t at_once = std::int64_t{blocks} * (device.multiprocessors > 0 ? device.multiprocessors : 1);
    const std::int64_t time = (slots + at_once - 1) / at_once * ((tiles + warps - 1) / warps);
    if (blocks * warps > most || (blocks * warps == most && time < least))
      best = warps, most = blocks * warps, least = time;
  }
  return best;
}

/// Shares of a sequence: as many as give every multiprocessor its part of the reading, each with tiles enough to pay
/// for its beginning and for being joined. Blocks that share a multiprocessor also share what it can read.
[[nodiscard]] constexpr int attend_splits(std::int64_t slots, int multiprocessors, int tiles, int warps) noexcept {
  const std::int64_t shares = (tiles + warps - 1) / warps, at_once = multiprocessors > 0 ? multiprocessors : 1;
  std::int64_t best = 1, least = 0;
  for (std::int64_t splits = 1; splits <= shares && splits <= 256; ++splits) {
    const std::int64_t blocks_each = (slots * splits + at_once - 1) / at_once;
    const std::int64_t time = 4 * blocks_each * ((shares + splits - 1) / splits + 2) + splits;
    if (splits == 1 || time < least) best = splits, least = time;
  }
  return static_cast<int>(best);
}
}  // namespace detail

/// The plan that splits every sequence over a given number of blocks (at least 1): for tuning and tests.
[[nodiscard]] inline Result<AttendPlan> plan_attend(const AttendShape& shape, const DeviceCapabilities& device,
                                                    int splits) noexcept {
  const auto layout = plan_cache(shape.cache);
  if (!layout) return layout.status();
  if (Status status = detail::check_attend(shape, device); !status.ok()) return status;
  AttendPlan plan;
  plan.shape = shape;
  plan.layout = *layout;
  AttendSharing& s = plan.sharing;
  s.queries = shape.queries;
  s.group = shape.query_heads / shape.cache.kv_heads;
  s.tokens = shape.tokens;
  s.parts = shape.input == ElementType::float32 ? 2 : 1;
  s.input = shape.input;
  s.output = shape.output;
  plan.path = detail::attend_path(*layout, s.lines(), s.parts);
  int needs = 0;
  with_attend_size(plan.path, [&](auto size) {
    using Size = decltype(size);
    s.line_tiles = (s.lines() + Size::lines - 1) / Size::lines;
    const std::int64_t slots = std::int64_t{shape.sequences} * shape.cache.kv_heads * s.line_tiles;
    const int tiles = (shape.tokens + Size::tile - 1) / Size::tile;
    s.warps = detail::attend_warps<Size>(*layout, s.parts, slots, tiles, device);
    needs = attend_memory<Size>(*layout, s.warps > 0 ? s.warps : 1, s.parts).bytes;
    if (s.warps == 0) return;
    s.splits = splits > 0 ? splits : detail::attend_splits(slots, device.multiprocessors, tiles, s.warps);
    if (slots * s.splits > 0x7fffffff) return;
    plan.launch = {static_cast<int>(slots * s.splits), s.warps * warp_size, needs};
    plan.launch.early = shape.early && device.major >= 9;
    if (s.splits > 1)
      plan.workspace_bytes =
          attend_counter_bytes(slots) + slots * s.splits * Size::lines * attend_line_floats(layout->head_size) * 4;
  });
  if (s.warps == 0)
    return Status(ErrorCode::unsupported, "attention: ", needs, " bytes of shared memory are needed, the device gives ",
                  device.shared_bytes);
  if (plan.launch.blocks == 0 && shape.sequences > 0)
    return Status(ErrorCode::unsupported, "attention: ", shape.sequences,
                  " sequences are too many for one launch; take fewer");
  return plan;
}

/// The plan for a shape on a device. Errors: sizes out of range, caches and devices that no kernel takes, prompts.
[[nodiscard]] inline Result<AttendPlan> plan_attend(const AttendShape& shape,
                                                    const DeviceCapabilities& device) noexcept {
  return plan_attend(shape, device, 0);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const AttendPlan& plan, const AttendArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  return with_attend_size(plan.path,
                          [&](auto size) { return run(attend_decode<decltype(size)>, plan.launch, a, plan.sharing); });
}

/// Whether arguments are of the planned shape. Lengths and tables are on the device and are not looked at.
[[nodiscard]] inline Status check(const AttendPlan& plan, const AttendArguments& a) noexcept {
  if (Status status = detail::check_pages(plan.layout, a.cache, plan.shape.tokens); !status.ok()) return status;
  const int width = plan.shape.query_heads * plan.layout.head_size;
  if (plan.shape.sequences * plan.shape.queries > 1 && (a.q_stride < width || a.y_stride < width))
    return {ErrorCode::shape_mismatch,
            "attention: rows of ",
            width,
            " elements do not lie ",
            a.q_stride,
            " and ",
            a.y_stride,
            " elements apart"};
  if (plan.workspace_bytes > 0 && (a.workspace == nullptr || reinterpret_cast<std::uintptr_t>(a.workspace) % 16 != 0))
    return {ErrorCode::invalid_argument, "attention needs a zeroed workspace of ", plan.workspace_bytes,
            " bytes on a multiple of 16"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
