#pragma once
#include <vector>

#include "cache.cuh"
#include "linear.cuh"
#include "row_kernels.cuh"
#include "site.cuh"

namespace llama::gpu {

/// Sizes that all layers share.
struct Sizes {
  int hidden = 0, ffn = 0, heads = 0, kv_heads = 0, head_size = 0, vocabulary = 0;
  float norm_epsilon = 0.0f;

  [[nodiscard]] int query() const noexcept { return heads * head_size; }
  [[nodiscard]] int kv() const noexcept { return kv_heads * head_size; }
  /// The widest input of a matrix.
  [[nodiscard]] int widest() const noexcept { return std::max(hidden, std::max(ffn, query())); }
};

/// Activations that layers share, because only one runs at a time; each of the most rows.
struct Activations {
  float *normed = nullptr, *query = nullptr, *key = nullptr, *value = nullptr, *attended = nullptr;
  float *gate = nullptr, *up = nullptr;
  float *turned_query[2] = {}, *turned_key[2] = {};
  float* cache_rows = nullptr;  // of all sequences, keys and then values; null where no cache has codes
  SiteBuffers site;
};

/// One block on the device: Block::forward with the same codes.
class DeviceLayer {
 public:
  DeviceLayer(const LayerImage& image, const Sizes& sizes, const planish::kernels::cuda::DeviceCapabilities& device,
              const std::string& where);

  /// x ← x + attention(norm(x)), then x ← x + mlp(norm(x)).
  void forward(float* x, const Batch& batch, const RotaryTable& rope, const DeviceCache& cache, const Activations& a,
               const Run& run) const;

  [[nodiscard]] CacheImage cache(int sequences, int capacity) const;
  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  [[nodiscard]] std::int64_t workspace_bytes(int most_tokens,
                                             const planish::kernels::cuda::DeviceCapabilities& device) const;

 private:
  void attend(float* x, const Batch& batch, const RotaryTable& rope, const DeviceCache& cache, const Activations& a,
              const Run& run) const;
  void feed_forward(float* x, const Batch& batch, const Activations& a, const Run& run) const;
  void norm(const float* x, const DeviceArray<float>& gain, int rows, int columns, float* y, const Run& run) const;
  /// What a site's matrices read of the norm of x.
  [[nodiscard]] std::array<SiteInput, 3> prepare_normed(const DeviceSite& site, const float* x,
                                                        const DeviceArray<float>& gain, int rows, const Activations& a,
                                                        const Run& run) const;

  Sizes sizes_;
  std::string where_;
  DeviceArray<float> attention_gain_, mlp_gain_, query_gain_, key_gain_;
  std::vector<DeviceSite> sites_;
  std::vector<DeviceLinear> linears_;
  DeviceSteps key_, query_;
  CacheImage cache_;
};

}  // namespace llama::gpu
