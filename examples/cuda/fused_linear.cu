// One linear layer of an engine that has buffers, a stream and a graph of its own: y = codes(x · (L ⊗ R)) · W4ᵀ + b + r
// in two launches, W4A4. The engine plans once per number of tokens, hands in memory, and gets nothing but launches.
// Checks the result against float64 on the host; without a GPU it says so.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include <planish/cuda.cuh>

namespace pl = planish;
namespace gpu = planish::kernels::cuda;

namespace {

constexpr int factor = 64, columns = factor * factor, channels = 512, tokens = 24;

/// What the layer is: views of the engine's device memory, plain data.
struct FusedLinear {
  gpu::KroneckerFactorsView factors;
  gpu::FragmentWeightsView weights;
  pl::RowQuantizer quantizer;
  const float* bias = nullptr;
};

/// How it runs for a number of tokens, and what memory it borrows meanwhile.
struct FusedPlan {
  gpu::KroneckerPlan transform;
  gpu::MultiplyPlan product;

  static pl::Result<FusedPlan> make(const FusedLinear& layer, int rows, const gpu::DeviceCapabilities& device) {
    FusedPlan plan;
    const auto transform = gpu::plan_kronecker({.rows = rows, .n1 = layer.factors.n1, .n2 = layer.factors.n2}, device);
    if (!transform) return transform.status();
    const auto product = gpu::plan_multiply({.rows = rows,
                                             .channels = layer.weights.channels,
                                             .columns = layer.weights.columns,
                                             .stored_bits = layer.weights.stored_bits},
                                            device);
    if (!product) return product.status();
    plan.transform = *transform;
    plan.product = *product;
    if (auto status = gpu::prepare(plan.transform, gpu::KroneckerArguments{}); !status.ok()) return status;
    if (auto status = gpu::prepare(plan.product, gpu::MultiplyArguments{}); !status.ok()) return status;
    return plan;
  }
};

/// Two launches on the engine's stream: no allocation, no synchronisation, so that they capture. x, residual and y are
/// rows of bfloat16; `codes` is room for rows × columns bytes with a scale per row, `workspace` what the plan says.
pl::Status run(const FusedLinear& layer, const FusedPlan& plan, const void* x, pl::QuantizedRowsSpan codes,
               const void* residual, void* y, void* workspace, cudaStream_t stream) {
  gpu::KroneckerArguments transform;
  transform.x = x;
  transform.row_stride = layer.weights.columns;
  transform.factors = layer.factors;
  transform.quantizer = layer.quantizer;
  transform.out = codes;
  if (auto status = gpu::launch(plan.transform, transform, stream); !status.ok()) return status;
  gpu::MultiplyArguments product;
  product.x = codes;
  product.w = layer.weights;
  product.bias = layer.bias;
  product.residual = residual;
  product.y = y;
  product.residual_stride = product.y_stride = layer.weights.channels;
  product.workspace = workspace;
  return gpu::launch(plan.product, product, stream);
}

void require(pl::Status status) {
  if (status.ok()) return;
  std::fprintf(stderr, "fused_linear: %.*s\n", static_cast<int>(status.message().size()), status.message().data());
  std::exit(1);
}
void require(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "fused_linear: %s\n", cudaGetErrorString(error));
  std::exit(1);
}
template <class T>
T require(pl::Result<T> result) {
  if (!result) require(result.status());
  return *std::move(result);
}

/// The engine's own memory; here it leaks with the process.
template <class T>
T* device_copy(const T* values, std::int64_t count) {
  T* place = nullptr;
  require(cudaMalloc(&place, static_cast<std::size_t>(count) * sizeof(T) + 256));
  if (values != nullptr)
    require(cudaMemcpy(place, values, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice));
  else
    require(cudaMemset(place, 0, static_cast<std::size_t>(count) * sizeof(T)));
  return place;
}

/// A Hadamard matrix of order 64 over 8: orthogonal, its own inverse.
std::vector<float> hadamard() {
  std::vector<float> h(factor * factor);
  for (int i = 0; i < factor; ++i)
    for (int j = 0; j < factor; ++j) h[i * factor + j] = __builtin_parity(i & j) ? -0.125f : 0.125f;
  return h;
}

/// row ← row · (H ⊗ H), in float64.
void rotate(std::vector<double>& row, const std::vector<float>& h) {
  for (const int step : {1, factor}) {
    std::vector<double> next(row.size());
    for (int at = 0; at < columns; ++at)
      for (int k = 0; k < factor; ++k)
        next[at] += row[at + (k - at / step % factor) * step] * h[k * factor + at / step % factor];
    row = next;
  }
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("fused_linear: skipped, there is no GPU");
    return 0;
  }
  const auto device = require(gpu::query_device(0));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const std::vector<float> h = hadamard();

  // A checkpoint: weights meet the transform's dual (here the transform itself), then become codes of 4 bits.
  std::vector<double> weights(channels * columns);
  std::vector<float> bias(channels);
  auto codes = require(pl::Codes::make(channels, columns, 4, pl::Symmetry::symmetric));
  for (int r = 0; r < channels; ++r) {
    std::vector<double> row(columns);
    for (double& w : row) w = 0.02 * normal(random);
    std::copy(row.begin(), row.end(), weights.begin() + r * columns);
    rotate(row, h);
    double most = 0.0;
    for (const double w : row) most = std::max(most, std::fabs(w));
    codes.scales()[r] = static_cast<float>(most / 7.0);
    for (int c = 0; c < columns; ++c)
      codes.codes()[r * columns + c] = static_cast<std::uint8_t>(std::lround(row[c] / codes.scales()[r]));
    bias[r] = normal(random);
  }
  const auto fragments = require(gpu::FragmentWeights::make(codes.view()));
  const auto factors =
      require(gpu::KroneckerFactors::make(factor, factor, h.data(), h.data(), gpu::ElementType::bfloat16));

  FusedLinear layer{factors.view(), fragments.view(), {.bits = 4}, device_copy(bias.data(), channels)};
  layer.factors.left = device_copy(layer.factors.left, layer.factors.left_size());
  layer.factors.right = device_copy(layer.factors.right, layer.factors.right_size());
  layer.factors.panels = device_copy(factors.panels(), layer.factors.panels_size());
  layer.weights.units = device_copy(layer.weights.units, layer.weights.size_bytes());
  layer.weights.scales = device_copy(layer.weights.scales, layer.weights.side_count());
  layer.weights.sums = device_copy(layer.weights.sums, layer.weights.side_count());

  // Activations with the outliers that four bits cannot bear without the transform.
  std::vector<pl::BFloat16> x(tokens * columns), residual(tokens * channels), y(tokens * channels);
  for (int i = 0; i < tokens * columns; ++i)
    x[i] = pl::BFloat16::from_float(normal(random) * (i % columns % 1000 == 7 ? 60.0f : 1.0f));
  for (auto& r : residual) r = pl::BFloat16::from_float(normal(random));

  const auto plan = require(FusedPlan::make(layer, tokens, device));
  const auto* const x_there = device_copy(x.data(), tokens * columns);
  const auto* const residual_there = device_copy(residual.data(), tokens * channels);
  auto* const y_there = device_copy<pl::BFloat16>(nullptr, tokens * channels);
  auto* const workspace = device_copy<std::uint8_t>(nullptr, plan.product.workspace_bytes);  // zeroed once
  const pl::QuantizedRowsSpan rows{.codes = device_copy<std::int8_t>(nullptr, tokens * columns),
                                   .rows = tokens,
                                   .columns = columns,
                                   .stride = columns,
                                   .scales = device_copy<float>(nullptr, tokens),
                                   .sums = device_copy<std::int32_t>(nullptr, tokens)};
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t step;
  require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  require(run(layer, plan, x_there, rows, residual_there, y_there, workspace, stream));
  require(cudaStreamSynchronize(stream));
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  require(run(layer, plan, x_there, rows, residual_there, y_there, workspace, stream));
  require(cudaStreamEndCapture(stream, &graph));
  require(cudaGraphInstantiate(&step, graph, 0));
  require(cudaGraphLaunch(step, stream));
  require(cudaMemcpyAsync(y.data(), y_there, y.size() * sizeof(y[0]), cudaMemcpyDeviceToHost, stream));
  require(cudaStreamSynchronize(stream));

  double error = 0.0, size = 0.0;
  for (int t = 0; t < tokens; ++t)
    for (int r = 0; r < channels; ++r) {
      double exact = 0.0;
      for (int c = 0; c < columns; ++c) exact += x[t * columns + c].to_float() * weights[r * columns + c];
      const double made = y[t * channels + r].to_float() - bias[r] - residual[t * channels + r].to_float();
      error += (made - exact) * (made - exact);
      size += exact * exact;
    }
  std::printf("fused_linear: %s; %s; W4A4 error %.1f %%\n", plan.transform.describe(), plan.product.describe(),
              100.0 * std::sqrt(error / size));
  return error < 0.04 * size ? 0 : 1;
}
