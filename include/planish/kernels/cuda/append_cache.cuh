#pragma once
// Keys and values of new tokens into the pages of a batch: a block for up to 16 tokens of one KV head, a warp per
// token.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/cache_pages.cuh>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/early_start.cuh>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/row_codes.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Keys (after their position embedding and transform) and values of new tokens; every pointer is of device memory.
/// Sequence s has the rows [first_rows[s], first_rows[s + 1]) of both; they become its last tokens, those at positions
/// cache.lengths[s] − count on; what its table has no page for is not stored. A row with NaN or infinity is stored as
/// NaN: codes 0, scale NaN.
struct AppendArguments {
  const void* keys = nullptr;  // rows × kv_heads · head_size
  const void* values = nullptr;
  std::int64_t key_stride = 0, value_stride = 0;  // elements
  const std::int32_t* first_rows = nullptr;       // [sequences + 1]; null: `tokens` rows for each
  ClipPair key_clip{}, value_clip{};
  CachePages cache;
  std::int32_t* bad_rows = nullptr;  // keys and values of a head that held NaN or infinity are added here; may be null
};

struct AppendShape {
  CacheShape cache;
  int sequences = 0;
  int tokens = 1;  // new ones of a sequence, at most
  ElementType input = ElementType::bfloat16;
  bool early = false;  // lengths and table are older than the kernel in front, which need not have ended
};

struct AppendPlan {
  AppendShape shape;
  CacheLayout layout;
  int groups = 0;  // of 16 tokens that the new ones of a sequence can touch
  LaunchShape launch;

  [[nodiscard]] constexpr const char* describe() const noexcept {
    return launch.threads == warp_size ? "a warp per token and head" : "a block per 16 tokens and head";
  }
};

inline constexpr int append_group = 16;               // tokens
inline constexpr int append_threads = 128;            // at most
inline constexpr int append_row = most_head_size;     // codes
inline constexpr int append_stride = append_row + 4;  // bytes: rows begin a bank apart

/// The plan for a shape. Errors: caches that no kernel takes, sizes out of range, an input that is not a float.
[[nodiscard]] inline Result<AppendPlan> plan_append(const AppendShape& shape,
                                                    const DeviceCapabilities& device) noexcept {
  const auto layout = plan_cache(shape.cache);
  if (!layout) return layout.status();
  if (shape.input == ElementType::int32) return Status(ErrorCode::invalid_argument, "KV cache: int32 is not quantized");
  if (shape.sequences < 0 || shape.tokens < 0 || shape.sequences > (1 << 16) || shape.tokens > (1 << 24))
    return Status(ErrorCode::invalid_argument, "KV cache: ", shape.tokens, " new tokens for each of ", shape.sequences,
                  " sequences");
  AppendPlan plan;
  plan.shape = shape;
  plan.layout = *layout;
  plan.groups = shape.tokens == 0 ? 0 : (shape.tokens + append_group - 2) / append_group + 1;
  const std::int64_t blocks = std::int64_t{2} * shape.sequences * plan.groups * shape.cache.kv_heads;
  if (blocks > 0x7fffffff)
    return Status(ErrorCode::unsupported, "KV cache: ", shape.tokens, " new tokens for each of ", shape.sequences,
                  " sequences are too many for one launch; append in parts");
  const int warps = shape.tokens < 4 ? (shape.tokens > 0 ? shape.tokens : 1) : 4;
  plan.launch = {static_cast<int>(blocks), warps * warp_size, append_group * append_stride};
  plan.launch.early = shape.early && device.major >= 9;
  return plan;
}

/// What a lane has of a row of a head: channels lane, lane + 32 …; 0 behind the last.
struct AppendRow {
  float values[append_row / warp_size];
};

template <class E>
PLANISH_DEVICE AppendRow load_append_row(const E* row, int head_size) noexcept {
  AppendRow r;
  PLANISH_UNROLL
  for (int i = 0; i < append_row / warp_size; ++i) {
    const int channel = thread_index() % warp_size + i * warp_size;
    r.values[i] = 0.0f;
    if (channel >= head_size) continue;
    if constexpr (std::is_same_v<E, float>)
      r.values[i] = row[channel];
    else
      r.values[i] = widen(row[channel]);
  }
  return r;
}

/// A row to codes, a byte each, zero behind the last channel; and what is stored beside them.
PLANISH_DEVICE Affine append_codes(const AppendRow& row, int head_size, int bits, ClipPair clip,
                                   std::uint8_t* codes) noexcept {
  RangeSoFar range;
  PLANISH_UNROLL
  for (const float value : row.values) range.add(value);
  range = join_warp(range);
  const RowCoder coder = RowCoder::make({range.lowest, range.highest}, range.finite(),
                                        RowQuantizer{.bits = bits, .symmetry = Symmetry::asymmetric, .clip = clip});
  const int offset = coder.usable ? 1 << (bits - 1) : 0;
  PLANISH_UNROLL
  for (int i = 0; i < append_row / warp_size; ++i) {
    const int channel = thread_index() % warp_size + i * warp_size;
    const float value = coder.shifted ? coder.shifted_value(row.values[i]) : row.values[i];
    const bool exists = coder.usable && channel < head_size;
    codes[channel] = exists ? static_cast<std::uint8_t>(coder.code(value) + static_cast<std::uint32_t>(offset)) : 0;
  }
  return {coder.affine.scale, coder.affine.zero_point + offset};
}

/// The byte of packed codes that begins with channel byte · 8 / width.
PLANISH_DEVICE std::uint32_t packed_byte(const std::uint8_t* codes, int byte, int width) noexcept {
  const int fields = 1 << field_shift(width);
  std::uint32_t packed = 0;
  PLANISH_UNROLL
  for (int f = 0; f < 4; ++f)
    if (f < fields) packed |= static_cast<std::uint32_t>(codes[byte * fields + f]) << (f * width);
  return packed;
}

/// Codes of tokens [begin, end) of one group of 16, token t at codes + t % 16 · append_stride, to the keys of their
/// page.
PLANISH_DEVICE void store_key_codes(const CacheLayout& l, std::uint8_t* head, const std::uint8_t* codes, int begin,
                                    int end, int threads) noexcept {
  for (int item = thread_index(); item < (end - begin) * l.key_pieces; item += threads) {
    const int t = begin + item / l.key_pieces, piece = item % l.key_pieces;
    Vector16 v{};
    PLANISH_UNROLL
    for (int i = 0; i < 16; ++i)
      v.words[i / 4] |= packed_byte(codes + t % append_group * append_stride, piece * 16 + i, l.key_width)
                        << (i % 4 * 8);
    *reinterpret_cast<Vector16*>(head + (t % cache_page / 8 * l.key_pieces + piece) * cache_line_bytes + t % 8 * 16) =
        v;
  }
}

/// The same to the values of their page: whole rows of 16 tokens, or the bytes of the tokens that there are.
PLANISH_DEVICE void store_value_codes(const CacheLayout& l, std::uint8_t* head, const std::uint8_t* codes, int begin,
                                      int end, int threads) noexcept {
  const int bytes = l.value_lines * 8;
  std::uint8_t* rows = head + l.key_bytes() + begin % cache_page / 16 * l.value_lines * cache_line_bytes;
  if (end - begin == append_group) {
    for (int byte = thread_index(); byte < bytes; byte += threads) {
      Vector16 v{};
      PLANISH_UNROLL
      for (int t = 0; t < append_group; ++t)
        v.words[value_slot(t) / 4] |= packed_byte(codes + t * append_stride, byte, l.value_width)
                                      << (value_slot(t) % 4 * 8);
      *reinterpret_cast<Vector16*>(rows + byte * 16) = v;
    }
    return;
  }
  for (int item = thread_index(); item < (end - begin) * bytes; item += threads) {
    const int t = begin + item / bytes, byte = item % bytes;
    rows[byte * 16 + value_slot(t)] =
        static_cast<std::uint8_t>(packed_byte(codes + t % append_group * append_stride, byte, l.value_width));
  }
}

/// blocks = sequences × groups × KV heads × (keys, values).
template <class E>
PLANISH_KERNEL(append_threads, 1)
append_cache(AppendArguments a, int tokens, int groups, int threads) {
  wait_for_kernel_before();
  let_next_kernel_start();
  const CacheLayout& l = a.cache.layout;
  const bool is_value = block_index() % 2 != 0;
  const int kv_head = block_index() / 2 % l.kv_heads, at = block_index() / 2 / l.kv_heads;
  const int sequence = at / groups;
  const std::int64_t first_row =
      a.first_rows == nullptr ? std::int64_t{sequence} * tokens : std::int64_t{a.first_rows[sequence]};
  int count = a.first_rows == nullptr ? tokens : a.first_rows[sequence + 1] - static_cast<int>(first_row);
  if (count > tokens) count = tokens;
  const int length = a.cache.lengths[sequence], first = length - count;
  if (count <= 0 || first < 0) return;
  const int group = first / append_group + at % groups;
  const int begin = group * append_group > first ? group * append_group : first;
  const int end = (group + 1) * append_group < length ? (group + 1) * append_group : length;
  if (begin >= end || begin / cache_page >= a.cache.table_stride) return;

  const int page = a.cache.table[std::int64_t{sequence} * a.cache.table_stride + begin / cache_page];
  std::uint8_t* head = a.cache.head(page, kv_head);
  const E* rows = static_cast<const E*>(is_value ? a.values : a.keys) + kv_head * l.head_size;
  const std::int64_t stride = is_value ? a.value_stride : a.key_stride;
  unsigned char* codes = shared_memory();
  const int warps = threads / warp_size;
  int t = begin + thread_index() / warp_size;
  AppendRow next{};
  if (t < end) next = load_append_row(rows + (first_row + t - first) * stride, l.head_size);
  for (; t < end; t += warps) {
    const AppendRow row = next;
    if (t + warps < end) next = load_append_row(rows + (first_row + t + warps - first) * stride, l.head_size);
    const Affine affine = append_codes(row, l.head_size, is_value ? l.value_bits : l.key_bits,
                                       is_value ? a.value_clip : a.key_clip, codes + t % append_group * append_stride);
    if (thread_index() % warp_size != 0) continue;
    const int slot = t % cache_page;
    *reinterpret_cast<float*>(head + (is_value ? value_scale_place(l, slot) : key_scale_place(l, slot))) = affine.scale;
    head[is_value ? value_zero_place(l, slot) : key_zero_place(l, slot)] = static_cast<std::uint8_t>(affine.zero_point);
    if (a.bad_rows != nullptr && !is_finite(affine.scale)) (void)atomic_add(a.bad_rows, 1);
  }
  block_barrier();
  if (is_value)
    store_value_codes(l, head, codes, begin, end, threads);
  else
    store_key_codes(l, head, codes, begin, end, threads);
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const AppendPlan& plan, const AppendArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  const auto with = [&](auto kernel) {
    return run(kernel, plan.launch, a, plan.shape.tokens, plan.groups, plan.launch.threads);
  };
  if (plan.shape.input == ElementType::bfloat16) return with(append_cache<BFloat16>);
  if (plan.shape.input == ElementType::half) return with(append_cache<Half>);
  return with(append_cache<float>);
}

/// Whether arguments are of the planned shape. Lengths and tables are on the device and are not looked at.
[[nodiscard]] inline Status check(const AppendPlan& plan, const AppendArguments& a) noexcept {
  if (Status status = detail::check_pages(plan.layout, a.cache, plan.shape.tokens); !status.ok()) return status;
  const int width = plan.layout.kv_heads * plan.layout.head_size;
  if (plan.shape.sequences > 1 || plan.shape.tokens > 1)
    if (a.key_stride < width || a.value_stride < width)
      return detail::rows_too_near(width, a.key_stride, a.value_stride);
  if (!is_valid_clip(a.key_clip) || !is_valid_clip(a.value_clip))
    return {ErrorCode::invalid_argument, "KV cache: clip factors must be in 2^-20..16"};
  return {};
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
