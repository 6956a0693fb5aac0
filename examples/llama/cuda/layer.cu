#include <algorithm>

#include "layer.cuh"

namespace llama::gpu {
namespace {

namespace pc = planish::kernels::cuda;

enum Site { attention, output, mlp, down };
enum Matrix { query, key, value, out, gate, up, from_ffn };

}  // namespace

DeviceLayer::DeviceLayer(const LayerImage& image, const Sizes& sizes, const pc::DeviceCapabilities& device,
                         const std::string& where)
    : sizes_(sizes),
      where_(where),
      attention_gain_(image.attention_gain),
      mlp_gain_(image.mlp_gain),
      query_gain_(image.query_gain),
      key_gain_(image.key_gain),
      key_(image.key, sizes.head_size, device, where + ".keys"),
      query_(image.query, sizes.head_size, device, where + ".queries") {
  for (const SiteImage& site : image.sites) sites_.emplace_back(site, device, where);
  for (const LinearImage& linear : image.linears) linears_.emplace_back(linear, device);
  cache_.heads = sizes.heads;
  cache_.kv_heads = sizes.kv_heads;
  cache_.head_size = sizes.head_size;
  cache_.key_bits = image.key_bits;
  cache_.value_bits = image.value_bits;
  cache_.key_clip = {image.key_clip[0], image.key_clip[1]};
  cache_.value_clip = {image.value_clip[0], image.value_clip[1]};
}

CacheImage DeviceLayer::cache(int sequences, int capacity) const {
  CacheImage image = cache_;
  image.sequences = sequences;
  image.capacity = capacity;
  return image;
}

std::int64_t DeviceLayer::workspace_bytes(int most_tokens, const pc::DeviceCapabilities& device) const {
  std::int64_t most = 0;
  for (const DeviceLinear& linear : linears_) most = std::max(most, linear.workspace_bytes(most_tokens, device));
  return most;
}

void DeviceLayer::forward(float* x, const Batch& batch, const RotaryTable& rope, const DeviceCache& cache,
                          const Activations& a, const Run& run) const {
  attend(x, batch, rope, cache, a, run);
  feed_forward(x, batch, a, run);
}

void DeviceLayer::norm(const float* x, const DeviceArray<float>& gain, int rows, int columns, float* y,
                       const Run& run) const {
  start(rms_norm_rows<>, rows, row_threads, row_threads * static_cast<int>(sizeof(double)), run, x, gain.data(),
        sizes_.norm_epsilon, columns, y);
}

std::array<SiteInput, 3> DeviceLayer::prepare_normed(const DeviceSite& site, const float* x,
                                                     const DeviceArray<float>& gain, int rows, const Activations& a,
                                                     const Run& run) const {
  if (site.takes_prologue())
    return site.prepare(x, rows, a.site, run, {pc::Prologue::rms_norm, {gain.data(), sizes_.norm_epsilon}});
  norm(x, gain, rows, sizes_.hidden, a.normed, run);
  return site.prepare(a.normed, rows, a.site, run);
}

void DeviceLayer::attend(float* x, const Batch& batch, const RotaryTable& rope, const DeviceCache& cache,
                         const Activations& a, const Run& run) const {
  const int rows = batch.rows, size = sizes_.head_size;
  const auto in = prepare_normed(sites_[attention], x, attention_gain_, rows, a, run);
  linears_[query].multiply(in[0], rows, nullptr, a.query, run);
  linears_[key].multiply(in[1], rows, nullptr, a.key, run);
  linears_[value].multiply(in[2], rows, nullptr, a.value, run);
  if (query_gain_.data() != nullptr) {
    norm(a.query, query_gain_, rows * sizes_.heads, size, a.query, run);
    norm(a.key, key_gain_, rows * sizes_.kv_heads, size, a.key, run);
  }
  start(rotate_rows<>, rows, row_threads, 0, run, a.query, sizes_.heads, a.key, sizes_.kv_heads, size, batch.positions,
        rope);
  const float* const turned_query =
      query_.apply(query_.all().size(), a.query, rows * sizes_.heads, a.turned_query[0], a.turned_query[1], run);
  const float* const turned_key =
      key_.apply(key_.all().size(), a.key, rows * sizes_.kv_heads, a.turned_key[0], a.turned_key[1], run);
  cache.attend(batch, turned_query, turned_key, a.value, a.attended, a.cache_rows, run);
  const auto result = sites_[output].prepare(a.attended, rows, a.site, run);
  linears_[out].multiply(result[0], rows, x, x, run);
}

void DeviceLayer::feed_forward(float* x, const Batch& batch, const Activations& a, const Run& run) const {
  const int rows = batch.rows;
  const auto in = prepare_normed(sites_[mlp], x, mlp_gain_, rows, a, run);
  linears_[gate].multiply(in[0], rows, nullptr, a.gate, run);
  linears_[up].multiply(in[1], rows, nullptr, a.up, run);
  const bool joint = sites_[down].takes_prologue();
  const std::int64_t count = std::int64_t{rows} * sizes_.ffn;
  if (!joint)
    start(swiglu_elements<>, std::min<std::int64_t>((count + row_threads - 1) / row_threads, 4096), row_threads, 0, run,
          a.gate, a.up, count, a.gate);
  const Before gated{pc::Prologue::swiglu, {.up = a.up, .up_stride = sizes_.ffn}};
  const auto result = sites_[down].prepare(a.gate, rows, a.site, run, joint ? gated : Before{});
  linears_[from_ffn].multiply(result[0], rows, x, x, run);
}

}  // namespace llama::gpu
