#pragma once
// The kernel of append_heads.cuh, and how it is planned.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/append_heads.cuh>
#include <planish/kernels/cuda/append_heads_output.cuh>
#include <planish/kernels/cuda/append_heads_warps_output.cuh>
#include <planish/kernels/cuda/early_start.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// What is known of the heads before their data.
struct AppendHeadsShape {
  CacheShape cache;
  int query_heads = 0;
  int sequences = 0;
  int tokens = 1;                             // new ones of a sequence, at most
  ElementType input = ElementType::bfloat16;  // or half
  bool early = false;                         // all but x is older than the kernel in front, which need not have ended
};

struct AppendHeadsPlan {
  AppendHeadsShape shape;
  CacheLayout layout;
  AppendHeadsSharing sharing;
  LaunchShape launch;

  [[nodiscard]] constexpr const char* describe() const noexcept {
    return sharing.of_warps   ? "a warp per 16 tokens and head, mma.sync of 16-bit floats"
           : sharing.by_heads ? "a block per token and 16 heads, mma.sync of 16-bit floats"
                              : "a block per 16 tokens and head, mma.sync of 16-bit floats";
  }
};

/// The plan for a shape. Errors: caches that no kernel takes, sizes out of range, another type, a device without matrix
/// units.
[[nodiscard]] inline Result<AppendHeadsPlan> plan_append_heads(const AppendHeadsShape& shape,
                                                               const DeviceCapabilities& device) noexcept {
  const auto layout = plan_cache(shape.cache);
  if (!layout) return layout.status();
  if (!device.has_matrix_units())
    return Status(ErrorCode::unsupported, "transforms of heads need compute capability 8.0, this device has ",
                  device.major, ".", device.minor);
  if (shape.input != ElementType::bfloat16 && shape.input != ElementType::half)
    return Status(ErrorCode::unsupported, "heads that become rows and codes in one launch are bfloat16 or half, not ",
                  element_name(shape.input));
  if (shape.query_heads < 0 || shape.sequences < 0 || shape.tokens < 0 || shape.query_heads > (1 << 12) ||
      shape.sequences > (1 << 16) || shape.tokens > (1 << 24))
    return Status(ErrorCode::invalid_argument, shape.query_heads, " query heads of ", shape.tokens,
                  " new tokens for each of ", shape.sequences, " sequences");
  AppendHeadsPlan plan;
  plan.shape = shape;
  plan.layout = *layout;
  AppendHeadsSharing& s = plan.sharing;
  s.query_heads = shape.query_heads;
  s.tokens = shape.tokens;
  s.by_heads = shape.tokens < heads_rows / 2;
  s.groups = s.by_heads ? shape.tokens : (shape.tokens + heads_rows - 2) / heads_rows + 1;
  const auto items_of = [&](int heads) {
    return std::int64_t{shape.sequences} * s.groups * (s.by_heads ? (heads + heads_rows - 1) / heads_rows : heads);
  };
  const std::int64_t items = items_of(shape.query_heads) + 2 * items_of(shape.cache.kv_heads);
  if (items > 0x7fffffff)
    return Status(ErrorCode::unsupported, "heads of ", shape.tokens, " new tokens for each of ", shape.sequences,
                  " sequences are too many for one launch; append in parts");
  s.query_items = static_cast<int>(items_of(shape.query_heads));
  s.key_items = static_cast<int>(items_of(shape.cache.kv_heads));
  s.items = static_cast<int>(items);
  const std::int64_t multiprocessors = device.multiprocessors > 0 ? device.multiprocessors : 1;
  const int size = shape.cache.head_size;
  const int bytes = size == 128 ? HeadOfWarp<BFloat16, 128>::shared_bytes : HeadOfWarp<BFloat16, 64>::shared_bytes;
  s.of_warps = !s.by_heads && (size == 128 || size == 64) && bytes <= device.shared_bytes;
  const std::int64_t most = (s.of_warps ? 2 : 3) * multiprocessors;
  const std::int64_t blocks = s.of_warps ? (items + heads_of_warps - 1) / heads_of_warps : items;
  plan.launch = {static_cast<int>(blocks < most ? blocks : most), s.of_warps ? heads_of_warps_threads : heads_threads,
                 s.of_warps ? bytes : heads_shared_bytes(size)};
  plan.launch.early = shape.early && device.major >= 9;
  return plan;
}

/// Blocks that stay; each has neighbouring items. `Whole`: heads have just so many channels, which the compiler knows.
template <class E, int Channels, bool Whole>
PLANISH_KERNEL(heads_threads, Channels <= 128 ? 3 : 2)
append_heads(AppendHeadsArguments a, AppendHeadsSharing s) {
  if constexpr (Whole) a.cache.layout.head_size = Channels;
  const int size = a.cache.layout.head_size;
  unsigned char* const rows = shared_memory();
  unsigned char* const raw = rows + heads_rows * heads_pitch(size);
  std::uint8_t* const codes = raw + 2 * heads_rows * heads_pitch(size);
  auto* const meeting = reinterpret_cast<RangeSoFar*>(codes + heads_rows * append_stride);
  for (int i = thread_index(); i < heads_rows * append_stride / 4; i += heads_threads)  // codes behind the channels
    reinterpret_cast<std::uint32_t*>(codes)[i] = 0;
  const HeadsColumns<Channels> columns(size);
  HeadsFactor<Channels> factor;
  int begin = static_cast<int>(std::int64_t{s.items} * block_index() / block_count());
  const int end = static_cast<int>(std::int64_t{s.items} * (block_index() + 1) / block_count());
  auto role = HeadsItem::Role::value;
  const auto take = [&](HeadsItem::Role of) {
    role = of;
    factor.take(of == HeadsItem::Role::query ? a.queries.right
                : of == HeadsItem::Role::key ? a.keys.right
                                             : nullptr,
                columns);
  };
  const auto page_of = [&](const HeadsItem& of) {
    const bool has = of.begin < of.end && of.begin / cache_page < a.cache.table_stride;
    return has ? a.cache.table[std::int64_t{of.sequence} * a.cache.table_stride + of.begin / cache_page] : -1;
  };
  HeadsItem next = heads_item(a, s, begin);
  int next_page = page_of(next);
  take(next.role);
  if (next.role != HeadsItem::Role::value) expect_rotary(a.rotary, next);
  wait_for_kernel_before();  // all but x is older
  let_next_kernel_start();
  const auto fetch = [&](int turn) {
    if (next.begin < next.end) fetch_heads<E>(a, s, next, raw + turn % 2 * heads_rows * heads_pitch(size));
    commit_copies();
  };
  fetch(0);
  PLANISH_NO_UNROLL
  for (int turn = 0; begin < end; ++begin, ++turn) {
    const HeadsItem item = next;
    const int page = next_page;
    if (begin + 1 < end) {
      next = heads_item(a, s, begin + 1);
      next_page = page_of(next);
      fetch(turn + 1);  // into the place of the item before this, whose rows every thread has turned
    } else {
      commit_copies();
    }
    const bool stores = item.role != HeadsItem::Role::query;
    if (item.role != role) take(item.role);
    wait_copies<1>();
    block_barrier();  // this item has come, and nobody reads the rows or codes of the one before
    if (item.begin >= item.end || (stores && page < 0)) continue;
    turn_heads<E>(a, item, raw + turn % 2 * heads_rows * heads_pitch(size), rows);
    block_barrier();
    float sums[2 * HeadsColumns<Channels>::most][4] = {};
    transform_heads<E, Channels>(factor, columns, rows, size, sums);
    if (!stores) {
      store_query_rows<E, Channels>(a, item, columns, sums);
      continue;
    }
    code_heads<Channels>(a, item, columns, sums, page, codes, meeting);
    if (s.by_heads)
      store_token_codes(a.cache, page, item, codes);
    else if (item.role == HeadsItem::Role::value)
      store_value_codes(a.cache.layout, a.cache.head(page, item.head), codes, item.begin, item.end, heads_threads);
    else
      store_key_codes(a.cache.layout, a.cache.head(page, item.head), codes, item.begin, item.end, heads_threads);
  }
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const AppendHeadsPlan& plan, const AppendHeadsArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  const int size = plan.layout.head_size;
  const auto of_element = [&](auto element) {
    using E = decltype(element);
    if (plan.sharing.of_warps)
      return run(size == 128 ? append_heads_of_warps<HeadOfWarp<E, 128>> : append_heads_of_warps<HeadOfWarp<E, 64>>,
                 plan.launch, a, plan.sharing);
    return run(size == 128  ? append_heads<E, 128, true>
               : size < 128 ? append_heads<E, 128, false>
                            : append_heads<E, 256, false>,
               plan.launch, a, plan.sharing);
  };
  return plan.shape.input == ElementType::bfloat16 ? of_element(BFloat16{}) : of_element(Half{});
}

/// Whether arguments are of the planned shape. Lengths and tables are on the device and are not looked at.
[[nodiscard]] inline Status check(const AppendHeadsPlan& plan, const AppendHeadsArguments& a) noexcept {
  if (Status status = detail::check_pages(plan.layout, a.cache, plan.shape.tokens); !status.ok()) return status;
  const int size = plan.layout.head_size, heads = plan.shape.query_heads + 2 * plan.layout.kv_heads;
  const auto off = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0; };
  if (plan.shape.sequences > 1 || plan.shape.tokens > 1)
    if (a.x_stride < std::int64_t{heads} * size || a.q_stride < std::int64_t{plan.shape.query_heads} * size)
      return {ErrorCode::shape_mismatch,
              "rows of ",
              heads,
              " heads of ",
              size,
              " channels and of their queries do not lie ",
              a.x_stride,
              " and ",
              a.q_stride,
              " elements apart"};
  if (off(a.x) || off(a.q) || a.x_stride % 8 != 0 || a.q_stride % 8 != 0)
    return {ErrorCode::invalid_argument, "rows of heads and of queries must begin on multiples of 16 bytes"};
  const RotaryTable& t = a.rotary;
  if (t.pairs < 0 || 2 * t.pairs > size || t.pairs % (t.interleaved ? 4 : 8) != 0)
    return {ErrorCode::unsupported, t.pairs, " pairs of channels turn, of ", size,
            " channels: it takes multiples of 8, of 4 if interleaved"};
  if (t.pairs > 0 && (t.cosines == nullptr || t.sines == nullptr || off(t.cosines) || off(t.sines)))
    return {ErrorCode::invalid_argument, "tables of cosines and sines must lie on multiples of 16 bytes"};
  for (const KroneckerFactorsView& f : {a.queries, a.keys})
    if (f.right != nullptr && (f.n1 != 1 || f.n2 != size || f.type != plan.shape.input))
      return {ErrorCode::shape_mismatch,
              "a transform of heads of ",
              size,
              " channels in ",
              element_name(plan.shape.input),
              " is not ",
              f.n1,
              " x ",
              f.n2,
              " in ",
              element_name(f.type)};
  if (!is_valid_clip(a.key_clip) || !is_valid_clip(a.value_clip))
    return {ErrorCode::invalid_argument, "KV cache: clip factors must be in 2^-20..16"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
