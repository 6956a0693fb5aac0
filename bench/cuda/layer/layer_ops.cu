// The operations of a W4A4KV4 layer for layer.py: planish's kernels on memory and a stream that the script owns, and
// the small kernels of a host (norm, RoPE, SwiGLU in bfloat16) that both sides of the comparison share. A shared
// library of plain functions: each returns null, or the sentence that says what was refused, until the next call.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <planish/cuda.cuh>

namespace pl = planish;
namespace gpu = planish::kernels::cuda;

namespace {

constexpr int threads = 256;

const char* sentence_of(const pl::Status& status) {
  static std::string kept;
  if (status.ok()) return nullptr;
  kept = std::string(status.message());
  return kept.c_str();
}
const char* started() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}
const pl::Result<gpu::DeviceCapabilities>& device() {
  static const auto found = gpu::query_device(0);
  return found;
}

/// Plans by `make_plan(device)`, and starts the kernel.
template <class Plan, class Arguments>
const char* launch(Plan&& make_plan, const Arguments& arguments, cudaStream_t stream,
                   std::int64_t workspace_bytes = 0) {
  const auto& found = device();
  if (!found) return sentence_of(found.status());
  const auto plan = make_plan(*found);
  if (!plan) return sentence_of(plan.status());
  if constexpr (requires { plan->workspace_bytes; })
    if (plan->workspace_bytes > workspace_bytes)
      return sentence_of(
          {pl::ErrorCode::invalid_argument, "a workspace of ", plan->workspace_bytes, " bytes is needed"});
  if (const auto status = gpu::prepare(*plan, arguments); !status.ok()) return sentence_of(status);
  return sentence_of(gpu::launch(*plan, arguments, stream));
}

/// Eight neighbouring elements.
struct alignas(16) Eight {
  std::uint16_t bits[8];
};
__device__ float widened(const Eight& v, int i) { return __uint_as_float(std::uint32_t{v.bits[i]} << 16); }

__global__ void norm_rows(const pl::BFloat16* x, const pl::BFloat16* gain, int columns, pl::BFloat16* y) {
  __shared__ float parts[threads / 32];
  const auto* from = reinterpret_cast<const Eight*>(x + std::int64_t{blockIdx.x} * columns);
  auto* to = reinterpret_cast<Eight*>(y + std::int64_t{blockIdx.x} * columns);
  const auto* gains = reinterpret_cast<const Eight*>(gain);
  float sum = 0.0f;
  for (int v = threadIdx.x; v < columns / 8; v += threads)
    for (int i = 0; i < 8; ++i) sum += widened(from[v], i) * widened(from[v], i);
  for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0.0f;
  for (const float part : parts) sum += part;
  const float inverse = rsqrtf(sum / static_cast<float>(columns) + 1e-5f);
  for (int v = threadIdx.x; v < columns / 8; v += threads) {
    const Eight in = from[v], g = gains[v];
    Eight out;
    for (int i = 0; i < 8; ++i) out.bits[i] = pl::BFloat16::from_float(widened(in, i) * inverse * widened(g, i)).bits;
    to[v] = out;
  }
}

/// Heads [0, q_heads) of a row of qkv go to q, the next k_heads to k, turned by halves to positions[row].
__global__ void rotate(const pl::BFloat16* qkv, const float* cosines, const float* sines, const std::int32_t* positions,
                       int q_heads, int k_heads, int v_heads, int size, pl::BFloat16* q, pl::BFloat16* k) {
  const std::int64_t row = blockIdx.x;
  const pl::BFloat16* from = qkv + row * (q_heads + k_heads + v_heads) * size;
  const int half = size / 2, at_position = positions[row] * half;
  for (int at = threadIdx.x; at < (q_heads + k_heads) * half; at += threads) {
    const int head = at / half, i = at % half;
    pl::BFloat16* to = head < q_heads ? q + (row * q_heads + head) * size : k + (row * k_heads + head - q_heads) * size;
    const float a = from[head * size + i].to_float(), b = from[head * size + half + i].to_float();
    const float c = cosines[at_position + i], s = sines[at_position + i];
    to[i] = pl::BFloat16::from_float(a * c - b * s);
    to[half + i] = pl::BFloat16::from_float(a * s + b * c);
  }
}

__global__ void swiglu_rows(const pl::BFloat16* gate_up, int columns, pl::BFloat16* y) {
  const auto* gate = reinterpret_cast<const Eight*>(gate_up + std::int64_t{blockIdx.y} * 2 * columns);
  const Eight* up = gate + columns / 8;
  auto* to = reinterpret_cast<Eight*>(y + std::int64_t{blockIdx.y} * columns);
  const int v = blockIdx.x * threads + threadIdx.x;
  if (v >= columns / 8) return;
  const Eight g = gate[v], u = up[v];
  Eight out;
  for (int i = 0; i < 8; ++i) {
    const float x = widened(g, i);
    out.bits[i] = pl::BFloat16::from_float(x / (1.0f + __expf(-x)) * widened(u, i)).bits;
  }
  to[v] = out;
}

gpu::KroneckerFactorsView factors_of(int n1, int n2, const void* left, const void* right, const void* panels) {
  gpu::KroneckerFactorsView view;
  view.n1 = n1;
  view.n2 = n2;
  view.left = static_cast<const std::uint16_t*>(left);
  view.right = static_cast<const std::uint16_t*>(right);
  view.panels = static_cast<const std::uint16_t*>(panels);
  return view;
}

}  // namespace

/// A cache of 4-bit keys and values.
struct Cache {
  int kv_heads, size, sequences, pages;  // pages of a sequence
  void* memory;
  const std::int32_t* table;
  const std::int32_t* lengths;

  [[nodiscard]] gpu::CacheShape shape() const { return {kv_heads, size, 4, 4}; }
  [[nodiscard]] gpu::CachePages view() const {
    gpu::CachePages view;
    view.layout = gpu::cache_layout_of(shape());
    view.pages = static_cast<std::uint8_t*>(memory);
    view.table = table;
    view.table_stride = pages;
    view.lengths = lengths;
    return view;
  }
};

extern "C" {

const char* rms_norm(const pl::BFloat16* x, const pl::BFloat16* gain, int rows, int columns, pl::BFloat16* y,
                     cudaStream_t stream) {
  norm_rows<<<rows, threads, 0, stream>>>(x, gain, columns, y);
  return started();
}

const char* rope(const pl::BFloat16* qkv, const float* cosines, const float* sines, const std::int32_t* positions,
                 int rows, int heads, int kv_heads, int size, pl::BFloat16* q, pl::BFloat16* k, cudaStream_t stream) {
  rotate<<<rows, threads, 0, stream>>>(qkv, cosines, sines, positions, heads, kv_heads, kv_heads, size, q, k);
  return started();
}

const char* swiglu(const pl::BFloat16* gate_up, int rows, int columns, pl::BFloat16* y, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>((columns / 8 + threads - 1) / threads), static_cast<unsigned>(rows));
  swiglu_rows<<<blocks, threads, 0, stream>>>(gate_up, columns, y);
  return started();
}

/// Codes of rows · (L ⊗ R), 4 bits in bytes, and a scale per row. With a gain, rows meet their RMSNorm first; with
/// `up`, they are gates and meet it by SwiGLU.
const char* transform(const void* x, int stride, const float* gain, const void* up, int rows, int n1, int n2,
                      const void* left, const void* right, const void* panels, std::int8_t* codes, float* scales,
                      cudaStream_t stream) {
  gpu::KroneckerArguments a;
  a.x = x;
  a.row_stride = stride;
  a.factors = factors_of(n1, n2, left, right, panels);
  a.quantizer = {.bits = 4, .clip = {0.95f, 0.95f}};
  a.out = {.codes = codes, .rows = rows, .columns = n1 * n2, .stride = n1 * n2, .scales = scales};
  a.prologue = {gain, 1e-5f, up, stride};
  gpu::KroneckerShape shape{.rows = rows, .n1 = n1, .n2 = n2};
  shape.prologue = gain != nullptr ? gpu::Prologue::rms_norm
                   : up != nullptr ? gpu::Prologue::swiglu
                                   : gpu::Prologue::none;
  shape.early = true;  // factors are older than the kernel in front
  return launch([&](auto& on) { return gpu::plan_kronecker(shape, on); }, a, stream);
}

/// y = codes · Wᵀ + residual (null: none).
const char* multiply(const std::int8_t* codes, const float* token_scales, int rows, int columns,
                     const std::uint8_t* units, const float* scales, const std::int32_t* sums, int channels,
                     const void* residual, void* y, void* workspace, std::int64_t workspace_bytes,
                     cudaStream_t stream) {
  gpu::MultiplyArguments a;
  a.x = {codes, rows, columns, columns, token_scales};
  a.w.stored_bits = 4;
  a.w.channels = channels;
  a.w.columns = columns;
  a.w.units = units;
  a.w.scales = scales;
  a.w.sums = sums;
  a.y = y;
  a.residual = residual;
  a.y_stride = a.residual_stride = channels;
  a.workspace = workspace;
  gpu::MultiplyShape shape{.rows = rows, .channels = channels, .columns = columns, .stored_bits = 4};
  shape.early = true;  // weights are older than the kernel in front
  return launch([&](auto& on) { return gpu::plan_multiply(shape, on); }, a, stream, workspace_bytes);
}

/// New rows of every sequence, queries, keys and values side by side: turned queries to q, the others to the cache.
const char* append(const void* qkv, int heads, int new_tokens, const float* cosines, const float* sines,
                   const void* query_right, const void* key_right, const Cache* cache, void* q, cudaStream_t stream) {
  gpu::AppendHeadsArguments a;
  a.x = qkv;
  a.x_stride = (heads + 2 * cache->kv_heads) * cache->size;
  a.rotary = {cosines, sines, cache->size / 2};
  a.queries = factors_of(1, cache->size, nullptr, query_right, nullptr);
  a.keys = factors_of(1, cache->size, nullptr, key_right, nullptr);
  a.q = q;
  a.q_stride = heads * cache->size;
  a.key_clip = a.value_clip = {0.95f, 0.95f};
  a.cache = cache->view();
  const gpu::AppendHeadsShape shape{.cache = cache->shape(),
                                    .query_heads = heads,
                                    .sequences = cache->sequences,
                                    .tokens = new_tokens,
                                    .early = true};
  return launch([&](auto& on) { return gpu::plan_append_heads(shape, on); }, a, stream);
}

/// One query of every sequence over up to `tokens`.
const char* attend(const void* q, int heads, int tokens, const Cache* cache, void* y, void* workspace,
                   std::int64_t workspace_bytes, cudaStream_t stream) {
  gpu::AttendArguments a;
  a.q = q;
  a.y = y;
  a.q_stride = a.y_stride = heads * cache->size;
  a.softmax_scale = 1.0f / std::sqrt(static_cast<float>(cache->size));
  a.cache = cache->view();
  a.workspace = workspace;
  const gpu::AttendShape shape{
      .cache = cache->shape(), .sequences = cache->sequences, .query_heads = heads, .tokens = tokens, .early = true};
  return launch([&](auto& on) { return gpu::plan_attend(shape, on); }, a, stream, workspace_bytes);
}

/// The cache as rows, `tokens` of each sequence.
const char* dequantize(int tokens, const Cache* cache, void* keys, void* values, cudaStream_t stream) {
  gpu::DequantizeCacheArguments a;
  a.cache = cache->view();
  a.keys = keys;
  a.values = values;
  a.key_stride = a.value_stride = cache->kv_heads * cache->size;
  return launch(
      [&](auto& on) {
        return gpu::plan_dequantize_cache({cache->shape(), cache->sequences, tokens}, on);
      },
      a, stream);
}

std::int64_t page_bytes(int kv_heads, int size) { return gpu::cache_layout_of({kv_heads, size, 4, 4}).page_bytes(); }

/// Bytes of units, and elements of scales and sums, of weights with 4 bits.
std::int64_t unit_bytes(int channels, int columns) {
  return gpu::FragmentWeightsView{.stored_bits = 4, .channels = channels, .columns = columns}.size_bytes();
}
std::int64_t side_count(int channels, int columns) {
  return gpu::FragmentWeightsView{.stored_bits = 4, .channels = channels, .columns = columns}.side_count();
}
/// Symmetric codes of 4 bits with a scale per channel, laid out; everything in host memory.
const char* pack_weights(const std::uint8_t* codes, const float* scales, int channels, int columns, std::uint8_t* units,
                         float* unit_scales, std::int32_t* sums) {
  pl::CodesView view;
  view.codes = codes;
  view.rows = channels;
  view.columns = view.group_size = columns;
  view.bits = 4;
  view.scales = scales;
  const auto packed = gpu::FragmentWeights::make(view);
  if (!packed) return sentence_of(packed.status());
  const auto made = packed->view();
  std::copy_n(made.units, made.size_bytes(), units);
  std::copy_n(made.scales, made.side_count(), unit_scales);
  std::copy_n(made.sums, made.side_count(), sums);
  return nullptr;
}

/// Elements of two factors, 16 bits each, and the factors laid out; everything in host memory.
std::int64_t left_size(int n1) { return gpu::KroneckerFactorsView{.n1 = n1, .n2 = 1}.left_size(); }
std::int64_t right_size(int n2) { return gpu::KroneckerFactorsView{.n1 = 1, .n2 = n2}.right_size(); }
std::int64_t panels_size(int n1, int n2) { return gpu::KroneckerFactorsView{.n1 = n1, .n2 = n2}.panels_size(); }
const char* pack_factors(int n1, int n2, const float* left, const float* right, std::uint16_t* lefts,
                         std::uint16_t* rights, std::uint16_t* panels) {
  const auto packed = gpu::KroneckerFactors::make(n1, n2, left, right, gpu::ElementType::bfloat16);
  if (!packed) return sentence_of(packed.status());
  const auto made = packed->view();
  std::copy_n(made.left, made.left_size(), lefts);
  std::copy_n(made.right, made.right_size(), rights);
  std::copy_n(packed->panels(), made.panels_size(), panels);
  return nullptr;
}

}  // extern "C"
