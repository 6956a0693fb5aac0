#pragma once
// Pages back to rows, for attention of a host's own over a prompt.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/cuda/cache_pages.cuh>
#include <planish/kernels/cuda/device.cuh>
#include <planish/kernels/cuda/multiply_output.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Token t of sequence s becomes row first_rows[s] + t of keys and of values, rows × kv_heads · head_size. Elements are
/// (code − zero point) · scale in float32, rounded once to the output's type. Every pointer is of device memory.
struct DequantizeCacheArguments {
  CachePages cache;
  const std::int32_t* first_rows = nullptr;  // [sequences]; null: s · tokens
  void* keys = nullptr;                      // null: not wanted
  void* values = nullptr;
  std::int64_t key_stride = 0, value_stride = 0;  // elements
};

struct DequantizeCacheShape {
  CacheShape cache;
  int sequences = 0;
  int tokens = 0;  // of a sequence, at most
  ElementType output = ElementType::bfloat16;
};

struct DequantizeCachePlan {
  DequantizeCacheShape shape;
  CacheLayout layout;
  LaunchShape launch;

  [[nodiscard]] constexpr const char* describe() const noexcept { return "a block per page and head"; }
};

inline constexpr int dequantize_threads = 128;

/// The plan for a shape. Errors: caches that no kernel takes, sizes out of range, an output that is not a float.
[[nodiscard]] inline Result<DequantizeCachePlan> plan_dequantize_cache(const DequantizeCacheShape& shape,
                                                                       const DeviceCapabilities& /*device*/) noexcept {
  const auto layout = plan_cache(shape.cache);
  if (!layout) return layout.status();
  if (shape.output == ElementType::int32)
    return Status(ErrorCode::invalid_argument, "KV cache: values are floats, not int32");
  if (shape.sequences < 0 || shape.tokens < 0 || shape.sequences > (1 << 16) || shape.tokens > (1 << 28))
    return Status(ErrorCode::invalid_argument, "KV cache: ", shape.sequences, " sequences of ", shape.tokens,
                  " tokens");
  const std::int64_t pages = (shape.tokens + cache_page - 1) / cache_page;
  const std::int64_t blocks = 2 * pages * shape.sequences * shape.cache.kv_heads;
  if (blocks > 0x7fffffff)
    return Status(ErrorCode::unsupported, "KV cache: ", shape.sequences, " sequences of ", shape.tokens,
                  " tokens are too many for one launch; take fewer sequences");
  return DequantizeCachePlan{shape, *layout, {static_cast<int>(blocks), dequantize_threads, 0}};
}

/// blocks = sequences × pages × KV heads × (keys, values).
template <int Unit = 0>
PLANISH_KERNEL(dequantize_threads, 1)
dequantize_cache(DequantizeCacheArguments a, ElementType type, int tokens, int pages) {
  const CacheLayout& l = a.cache.layout;
  const bool is_value = block_index() % 2 != 0;
  const int kv_head = block_index() / 2 % l.kv_heads, at = block_index() / 2 / l.kv_heads;
  const int sequence = at / pages, page = at % pages;
  void* out = is_value ? a.values : a.keys;
  const int length = a.cache.lengths[sequence] < tokens ? a.cache.lengths[sequence] : tokens;
  const int count = length - page * cache_page < cache_page ? length - page * cache_page : cache_page;
  if (out == nullptr || count <= 0) return;
  const std::uint8_t* head = a.cache.head(a.cache.table[std::int64_t{sequence} * a.cache.table_stride + page], kv_head);
  const std::int64_t first_row =
      (a.first_rows == nullptr ? std::int64_t{sequence} * tokens : std::int64_t{a.first_rows[sequence]}) +
      std::int64_t{page} * cache_page;
  const int width = is_value ? l.value_width : l.key_width, shift = field_shift(width), mask = (1 << width) - 1;
  const int between = is_value ? 16 : 1, eights = l.head_size / 8;  // bytes of neighbouring channels
  for (int item = thread_index(); item < count * eights; item += dequantize_threads) {
    const int t = item / eights, channel = item % eights * 8;
    const auto scale =
        *reinterpret_cast<const float*>(head + (is_value ? value_scale_place(l, t) : key_scale_place(l, t)));
    const int zero = head[is_value ? value_zero_place(l, t) : key_zero_place(l, t)];
    const std::uint8_t* codes = head + (is_value ? value_place(l, t, channel) : key_place(l, t, channel)).byte;
    float values[8];
    PLANISH_UNROLL
    for (int i = 0; i < 8; ++i)
      values[i] = to_value((codes[(i >> shift) * between] >> code_shift(width, i)) & mask, {scale, zero});
    store_eight(out, type,
                (first_row + t) * (is_value ? a.value_stride : a.key_stride) + kv_head * l.head_size + channel, values,
                8);
  }
}

/// Calls `run(kernel, launch shape, kernel arguments...)` with the kernel of a plan.
template <class Run>
Status dispatch(const DequantizeCachePlan& plan, const DequantizeCacheArguments& a, Run&& run) noexcept {
  if (plan.launch.blocks == 0) return {};
  return run(dequantize_cache<>, plan.launch, a, plan.shape.output, plan.shape.tokens,
             (plan.shape.tokens + cache_page - 1) / cache_page);
}

/// Whether arguments are of the planned shape.
[[nodiscard]] inline Status check(const DequantizeCachePlan& plan, const DequantizeCacheArguments& a) noexcept {
  const int width = plan.layout.kv_heads * plan.layout.head_size;
  if ((a.keys != nullptr && a.key_stride < width) || (a.values != nullptr && a.value_stride < width))
    return detail::rows_too_near(width, a.key_stride, a.value_stride);
  return detail::check_pages(plan.layout, a.cache, plan.shape.tokens);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
