#include <algorithm>
#include <cmath>

#include <planish/kernels/cuda/append_cache.cuh>
#include <planish/kernels/cuda/attend_plan.cuh>
#include <planish/kernels/cuda/dequantize_cache.cuh>

#include "cache.cuh"
#include "float_attention.cuh"

namespace llama::gpu {
namespace {

namespace pc = planish::kernels::cuda;
constexpr auto float32 = pc::ElementType::float32;

pc::AttendShape attend_shape(const CacheImage& image, const pc::CacheShape& cache, int sequences) {
  return {.cache = cache,
          .sequences = sequences,
          .query_heads = image.heads,
          .queries = 1,
          .tokens = image.capacity,
          .input = float32,
          .output = float32};
}

float softmax_scale(const CacheImage& image) { return 1.0f / std::sqrt(static_cast<float>(image.head_size)); }

}  // namespace

DeviceCache::DeviceCache(const CacheImage& image, const pc::DeviceCapabilities& device, std::string where)
    : image_(image), where_(std::move(where)) {
  if (image_.head_size > attention_lanes * pc::warp_size)
    fail(where_, ": heads of ", image_.head_size, " channels: attention on the GPU takes up to ",
         attention_lanes * pc::warp_size, "; use --backend cpu");
  if (image_.has_codes()) {
    const auto plan = pc::plan_attend(attend_shape(image_, shape(), 1), device);
    if (!plan) llama::require(plan.status(), where_);
    const std::int64_t pages = std::int64_t{image_.sequences} * image_.pages();
    memory_ = Memory(static_cast<std::size_t>(pages * plan->layout.page_bytes()), Memory::Place::device);
  } else {
    memory_ = Memory(static_cast<std::size_t>(2 * image_.row_floats()) * sizeof(float), Memory::Place::device);
  }
}

pc::CacheShape DeviceCache::shape() const noexcept {
  return {image_.kv_heads, image_.head_size, image_.key_bits, image_.value_bits};
}

void DeviceCache::attend(const Batch& batch, const float* query, const float* key, const float* value, float* y,
                         float* rows, const Run& run) const {
  const std::int64_t half = image_.row_floats();
  if (!image_.has_codes()) {
    auto* const stored = static_cast<float*>(memory_.data());
    start(store_rows<>, batch.rows, row_threads, 0, run, key, value, image_.kv_heads * image_.head_size,
          batch.positions, batch.bases, stored, stored + half);
    return attend_rows(batch, query, stored, stored + half, y, run);
  }
  pc::CachePages pages;
  pages.layout = pc::cache_layout_of(shape());
  pages.pages = static_cast<std::uint8_t*>(memory_.data());
  pages.table = batch.table;
  pages.table_stride = batch.pages;
  pages.lengths = batch.lengths;
  append(batch, pages, key, value, run);
  const int width = image_.heads * image_.head_size, kv_width = image_.kv_heads * image_.head_size;
  if (batch.decodes()) {
    pc::AttendArguments arguments;
    arguments.q = query;
    arguments.y = y;
    arguments.q_stride = arguments.y_stride = width;
    arguments.softmax_scale = softmax_scale(image_);
    arguments.cache = pages;
    arguments.workspace = run.zeroed;
    return launch(pc::plan_attend(attend_shape(image_, shape(), batch.segments), run.device), arguments, run, where_);
  }
  pc::DequantizeCacheArguments arguments;
  arguments.cache = pages;
  arguments.first_rows = batch.offsets;
  arguments.keys = rows;
  arguments.values = rows + half;
  arguments.key_stride = arguments.value_stride = kv_width;
  launch(
      pc::plan_dequantize_cache(
          {.cache = shape(), .sequences = batch.segments, .tokens = batch.most_tokens, .output = float32}, run.device),
      arguments, run, where_);
  attend_rows(batch, query, rows, rows + half, y, run);
}

void DeviceCache::append(const Batch& batch, const pc::CachePages& pages, const float* key, const float* value,
                         const Run& run) const {
  pc::AppendArguments arguments;
  arguments.keys = key;
  arguments.values = value;
  arguments.key_stride = arguments.value_stride = image_.kv_heads * image_.head_size;
  arguments.first_rows = batch.first_rows;
  arguments.key_clip = image_.key_clip;
  arguments.value_clip = image_.value_clip;
  arguments.cache = pages;
  arguments.bad_rows = run.bad_rows;
  launch(pc::plan_append({.cache = shape(), .sequences = batch.segments, .tokens = batch.most_new, .input = float32},
                         run.device),
         arguments, run, where_);
}

void DeviceCache::attend_rows(const Batch& batch, const float* query, const float* keys, const float* values, float* y,
                              const Run& run) const {
  const FloatAttention attention{.query = query,
                                 .keys = keys,
                                 .values = values,
                                 .y = y,
                                 .positions = batch.positions,
                                 .bases = batch.bases,
                                 .heads = image_.heads,
                                 .kv_heads = image_.kv_heads,
                                 .head_size = image_.head_size,
                                 .softmax_scale = softmax_scale(image_)};
  start(attend_float_rows<>, std::int64_t{batch.rows} * image_.heads, attention_threads,
        attention_shared_bytes(image_.head_size), run, attention);
}

std::int64_t DeviceCache::workspace_bytes(const pc::DeviceCapabilities& device) const {
  if (!image_.has_codes()) return 0;
  std::int64_t most = 0;
  for (int sequences = 1; sequences <= image_.sequences; ++sequences)
    if (const auto plan = pc::plan_attend(attend_shape(image_, shape(), sequences), device))
      most = std::max(most, plan->workspace_bytes);
  return most;
}

}  // namespace llama::gpu
