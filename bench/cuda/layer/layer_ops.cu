// The operations of a W4A4KV4 layer as PyTorch operators for layer.py: planish's kernels on tensors that the script
// owns, and the small kernels of a host (norm, RoPE, SwiGLU in bfloat16) that both sides of the comparison share.
#include <ATen/cuda/CUDAContext.h>
#include <string>
#include <torch/library.h>
#include <torch/types.h>

#include <planish/cuda.cuh>

namespace pl = planish;
namespace gpu = planish::kernels::cuda;

namespace {

using at::Tensor;
constexpr int threads = 256;

void require(const pl::Status& status) { TORCH_CHECK(status.ok(), "planish: ", std::string(status.message())); }
template <class T>
T require(pl::Result<T> result) {
  if (!result) require(result.status());
  return *std::move(result);
}
cudaStream_t stream() { return at::cuda::getCurrentCUDAStream(); }
const gpu::DeviceCapabilities& device() {
  static const auto found = require(gpu::query_device(0));
  return found;
}
template <class Plan, class Arguments>
void launch(const Plan& plan, const Arguments& arguments) {
  require(gpu::prepare(plan, arguments));
  require(gpu::launch(plan, arguments, stream()));
}
int of(std::int64_t size) { return static_cast<int>(size); }
const pl::BFloat16* halves(const Tensor& t) { return static_cast<const pl::BFloat16*>(t.data_ptr()); }
pl::BFloat16* halves(Tensor& t) { return static_cast<pl::BFloat16*>(t.data_ptr()); }

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

void normalise(const Tensor& x, const Tensor& gain, Tensor y) {
  norm_rows<<<x.size(0), threads, 0, stream()>>>(halves(x), halves(gain), of(x.size(1)), halves(y));
}
void rope(const Tensor& qkv, const Tensor& cosines, const Tensor& sines, const Tensor& positions, Tensor q, Tensor k) {
  const int size = of(q.size(-1)), q_heads = of(q.size(1)), k_heads = of(k.size(1));
  rotate<<<qkv.size(0), threads, 0, stream()>>>(halves(qkv), cosines.data_ptr<float>(), sines.data_ptr<float>(),
                                                positions.data_ptr<std::int32_t>(), q_heads, k_heads, k_heads, size,
                                                halves(q), halves(k));
}
void swiglu(const Tensor& gate_up, Tensor y) {
  const int columns = of(y.size(1));
  const dim3 blocks((columns / 8 + threads - 1) / threads, y.size(0));
  swiglu_rows<<<blocks, threads, 0, stream()>>>(halves(gate_up), columns, halves(y));
}

gpu::KroneckerFactorsView factors_of(const Tensor& left, const Tensor& right, std::int64_t n1, std::int64_t n2) {
  gpu::KroneckerFactorsView view;
  view.n1 = of(n1);
  view.n2 = of(n2);
  view.left = static_cast<const std::uint16_t*>(left.data_ptr());
  view.right = static_cast<const std::uint16_t*>(right.data_ptr());
  TORCH_CHECK(view.left_size() == left.numel() && view.right_size() == right.numel(), "factors of another size");
  return view;
}

/// Codes of x · (L ⊗ R), 4 bits in bytes.
void transform(const Tensor& x, const Tensor& left, const Tensor& right, std::int64_t n1, std::int64_t n2, Tensor codes,
               Tensor scales) {
  gpu::KroneckerArguments a;
  a.x = x.data_ptr();
  a.row_stride = n1 * n2;
  a.factors = factors_of(left, right, n1, n2);
  a.quantizer = {.bits = 4, .clip = {0.95f, 0.95f}};
  a.out.codes = codes.data_ptr<std::int8_t>();
  a.out.rows = codes.size(0);
  a.out.columns = a.out.stride = n1 * n2;
  a.out.scales = scales.data_ptr<float>();
  launch(require(gpu::plan_kronecker({.rows = of(codes.size(0)), .n1 = a.factors.n1, .n2 = a.factors.n2}, device())),
         a);
}

/// Every head of x (tokens × heads × size) times one matrix: I ⊗ P over the heads of a token, which shares a fetch.
void turn_heads(const Tensor& x, const Tensor& left, const Tensor& right, Tensor y) {
  gpu::KroneckerArguments a;
  a.x = x.data_ptr();
  a.row_stride = a.y_stride = x.size(1) * x.size(2);
  a.factors = factors_of(left, right, x.size(1), x.size(2));
  a.y = y.data_ptr();
  launch(require(gpu::plan_kronecker({.rows = of(x.size(0)), .n1 = a.factors.n1, .n2 = a.factors.n2}, device())), a);
}

/// y = codes · Wᵀ (+ residual).
void multiply(const Tensor& codes, const Tensor& token_scales, const Tensor& units, const Tensor& scales,
              const Tensor& sums, const std::optional<Tensor>& residual, Tensor y, Tensor workspace) {
  gpu::MultiplyArguments a;
  a.x = {codes.data_ptr<std::int8_t>(), codes.size(0), codes.size(1), codes.size(1), token_scales.data_ptr<float>()};
  a.w.stored_bits = 4;
  a.w.channels = of(y.size(1));
  a.w.columns = of(codes.size(1));
  a.w.units = units.data_ptr<std::uint8_t>();
  a.w.scales = scales.data_ptr<float>();
  a.w.sums = sums.data_ptr<std::int32_t>();
  a.y = y.data_ptr();
  a.residual = residual ? residual->data_ptr() : nullptr;
  a.y_stride = a.residual_stride = y.size(1);
  const auto plan = require(gpu::plan_multiply(
      {.rows = of(codes.size(0)), .channels = a.w.channels, .columns = a.w.columns, .stored_bits = 4}, device()));
  TORCH_CHECK(plan.workspace_bytes <= workspace.numel(), "a workspace of ", plan.workspace_bytes, " bytes is needed");
  a.workspace = workspace.data_ptr();
  launch(plan, a);
}

gpu::CacheShape cache_shape(std::int64_t kv_heads, std::int64_t size) { return {of(kv_heads), of(size), 4, 4}; }

gpu::CachePages pages_of(const gpu::CacheShape& shape, const Tensor& pages, const Tensor& table,
                         const Tensor& lengths) {
  gpu::CachePages view;
  view.layout = gpu::cache_layout_of(shape);
  view.pages = pages.data_ptr<std::uint8_t>();
  view.table = table.data_ptr<std::int32_t>();
  view.table_stride = of(table.size(1));
  view.lengths = lengths.data_ptr<std::int32_t>();
  return view;
}

std::int64_t page_bytes(std::int64_t kv_heads, std::int64_t size) {
  return gpu::cache_layout_of(cache_shape(kv_heads, size)).page_bytes();
}

/// Keys as [rows, KV heads, size]; values are the last heads of qkv.
void append(const Tensor& k, const Tensor& qkv, const Tensor& pages, const Tensor& table, const Tensor& lengths) {
  const auto shape = cache_shape(k.size(1), k.size(2));
  const int sequences = of(table.size(0)), width = shape.kv_heads * shape.head_size;
  gpu::AppendArguments a;
  a.keys = k.data_ptr();
  a.values = halves(qkv) + qkv.size(1) - width;
  a.key_stride = width;
  a.value_stride = qkv.size(1);
  a.key_clip = a.value_clip = {0.95f, 0.95f};
  a.cache = pages_of(shape, pages, table, lengths);
  launch(require(gpu::plan_append({shape, sequences, of(k.size(0)) / sequences}, device())), a);
}

/// One query of every sequence.
void attend(const Tensor& q, std::int64_t kv_heads, std::int64_t tokens, const Tensor& pages, const Tensor& table,
            const Tensor& lengths, Tensor y, Tensor workspace) {
  const auto shape = cache_shape(kv_heads, q.size(2));
  gpu::AttendArguments a;
  a.q = q.data_ptr();
  a.y = y.data_ptr();
  a.q_stride = a.y_stride = q.size(1) * q.size(2);
  a.softmax_scale = 1.0f / std::sqrt(static_cast<float>(q.size(2)));
  a.cache = pages_of(shape, pages, table, lengths);
  a.workspace = workspace.data_ptr();
  const auto plan = require(gpu::plan_attend(
      {.cache = shape, .sequences = of(table.size(0)), .query_heads = of(q.size(1)), .tokens = of(tokens)}, device()));
  TORCH_CHECK(plan.workspace_bytes <= workspace.numel(), "a workspace of ", plan.workspace_bytes, " bytes is needed");
  launch(plan, a);
}

/// The cache as rows [sequences · tokens, KV heads · size].
void dequantize(std::int64_t kv_heads, std::int64_t size, std::int64_t tokens, const Tensor& pages, const Tensor& table,
                const Tensor& lengths, Tensor keys, Tensor values) {
  const auto shape = cache_shape(kv_heads, size);
  gpu::DequantizeCacheArguments a;
  a.cache = pages_of(shape, pages, table, lengths);
  a.keys = keys.data_ptr();
  a.values = values.data_ptr();
  a.key_stride = a.value_stride = kv_heads * size;
  launch(require(gpu::plan_dequantize_cache({shape, of(table.size(0)), of(tokens)}, device())), a);
}

template <class T>
Tensor tensor_of(const T* values, std::int64_t count, at::ScalarType type) {
  return at::from_blob(const_cast<T*>(values), {count}, at::TensorOptions().dtype(type)).clone();
}
std::tuple<Tensor, Tensor, Tensor> pack_weights(const Tensor& codes, const Tensor& scales) {
  pl::CodesView view;
  view.codes = reinterpret_cast<const std::uint8_t*>(codes.data_ptr<std::int8_t>());
  view.rows = codes.size(0);
  view.columns = view.group_size = codes.size(1);
  view.bits = 4;
  view.scales = scales.data_ptr<float>();
  const auto packed = require(gpu::FragmentWeights::make(view));
  const auto made = packed.view();
  return {tensor_of(made.units, made.size_bytes(), at::kByte), tensor_of(made.scales, made.side_count(), at::kFloat),
          tensor_of(made.sums, made.side_count(), at::kInt)};
}
std::tuple<Tensor, Tensor> pack_factors(const Tensor& left, const Tensor& right) {
  const auto packed = require(gpu::KroneckerFactors::make(of(left.size(0)), of(right.size(0)), left.data_ptr<float>(),
                                                          right.data_ptr<float>(), gpu::ElementType::bfloat16));
  const auto made = packed.view();
  const auto copy = [](const std::uint16_t* values, std::int64_t count) {
    return tensor_of(reinterpret_cast<const std::int16_t*>(values), count, at::kShort);
  };
  return {copy(made.left, made.left_size()), copy(made.right, made.right_size())};
}

}  // namespace

TORCH_LIBRARY(planish_layer, m) {
  m.def("pack_weights(Tensor codes, Tensor scales) -> (Tensor, Tensor, Tensor)", &pack_weights);
  m.def("pack_factors(Tensor left, Tensor right) -> (Tensor, Tensor)", &pack_factors);
  m.def("page_bytes(int kv_heads, int size) -> int", &page_bytes);
  m.def("norm(Tensor x, Tensor gain, Tensor(a!) y) -> ()", &normalise);
  m.def("rope(Tensor qkv, Tensor cosines, Tensor sines, Tensor positions, Tensor(a!) q, Tensor(b!) k) -> ()", &rope);
  m.def("swiglu(Tensor gate_up, Tensor(a!) y) -> ()", &swiglu);
  m.def("transform(Tensor x, Tensor left, Tensor right, int n1, int n2, Tensor(a!) codes, Tensor(b!) scales) -> ()",
        &transform);
  m.def("turn_heads(Tensor x, Tensor left, Tensor right, Tensor(a!) y) -> ()", &turn_heads);
  m.def(
      "multiply(Tensor codes, Tensor token_scales, Tensor units, Tensor scales, Tensor sums, Tensor? residual, "
      "Tensor(a!) y, Tensor(b!) workspace) -> ()",
      &multiply);
  m.def("append(Tensor k, Tensor qkv, Tensor(a!) pages, Tensor table, Tensor lengths) -> ()", &append);
  m.def(
      "attend(Tensor q, int kv_heads, int tokens, Tensor pages, Tensor table, Tensor lengths, Tensor(a!) y, "
      "Tensor(b!) workspace) -> ()",
      &attend);
  m.def(
      "dequantize(int kv_heads, int size, int tokens, Tensor pages, Tensor table, Tensor lengths, Tensor(a!) keys, "
      "Tensor(b!) values) -> ()",
      &dequantize);
}
