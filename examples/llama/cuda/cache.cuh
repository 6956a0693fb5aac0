#pragma once
#include <planish/kernels/cuda/cache_pages.cuh>

#include "batch.cuh"
#include "image.hpp"
#include "run.cuh"

namespace llama::gpu {

/// What is known of a layer's cache.
struct CacheImage {
  int sequences = 0, capacity = 0;
  int heads = 0, kv_heads = 0, head_size = 0;
  int key_bits = 16, value_bits = 16;
  planish::ClipPair key_clip{}, value_clip{};

  [[nodiscard]] bool has_codes() const noexcept { return key_bits < 16; }
  [[nodiscard]] int pages() const noexcept {
    return (capacity + planish::kernels::cuda::cache_page - 1) / planish::kernels::cuda::cache_page;
  }
  [[nodiscard]] std::int64_t row_floats() const noexcept {
    return std::int64_t{sequences} * capacity * kv_heads * head_size;
  }
};

/// Keys and values of one layer and all sequences: planish's pages of codes, or float32 rows.
class DeviceCache {
 public:
  /// Throws Error, naming `where`, where no kernel takes the sizes.
  DeviceCache(const CacheImage& image, const planish::kernels::cuda::DeviceCapabilities& device, std::string where);

  /// Appends the batch's keys and values, then attends. `rows`: room for float rows of all sequences, for prompts over
  /// codes.
  void attend(const Batch& batch, const float* query, const float* key, const float* value, float* y, float* rows,
              const Run& run) const;

  /// Bytes of zeroed workspace.
  [[nodiscard]] std::int64_t workspace_bytes(const planish::kernels::cuda::DeviceCapabilities& device) const;

 private:
  [[nodiscard]] planish::kernels::cuda::CacheShape shape() const noexcept;
  void append(const Batch& batch, const planish::kernels::cuda::CachePages& pages, const float* key, const float* value,
              const Run& run) const;
  void attend_rows(const Batch& batch, const float* query, const float* keys, const float* values, float* y,
                   const Run& run) const;

  CacheImage image_;
  std::string where_;
  Memory memory_;  // pages, or keys and then values
};

}  // namespace llama::gpu
