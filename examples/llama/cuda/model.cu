#include <cmath>
#include <limits>

#include "model.cuh"
#include "session.cuh"

namespace llama::gpu {
namespace {

namespace pc = planish::kernels::cuda;

pc::DeviceCapabilities current_device() {
  open_device();
  return llama::require(pc::query_device(0), "--backend cuda");
}

}  // namespace

void open_device() {
  int count = 0, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  const bool has_driver = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
  if (error == cudaErrorInsufficientDriver && has_driver)
    fail(
        "--backend cuda: the driver of this machine is older than the CUDA run-time library of this program; update "
        "the driver, or use --backend cpu");
  if (!has_driver || error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
    fail("--backend cuda: this machine has no NVIDIA GPU, or no driver that shows it; use --backend cpu");
  require(error, "asking for GPUs");
  require(cudaSetDevice(0), "taking the first GPU");
  const auto device = llama::require(pc::query_device(0), "--backend cuda");
  if (!device.has_matrix_units())
    fail("--backend cuda: the GPU has compute capability ", device.major, ".", device.minor,
         ", integer products need 8.0; use --backend cpu");
}

std::shared_ptr<GpuModel> GpuModel::make(const FrameImage& frame) { return std::make_shared<ResidentModel>(frame); }

ResidentModel::ResidentModel(const FrameImage& frame)
    : device_(current_device()),
      sizes_{.hidden = frame.hidden_size,
             .ffn = frame.ffn_size,
             .heads = frame.heads,
             .kv_heads = frame.kv_heads,
             .head_size = frame.head_size,
             .vocabulary = frame.vocabulary,
             .norm_epsilon = frame.norm_epsilon},
      interleaved_(frame.interleaved),
      frequencies_(frame.frequencies),
      embedding_(frame.embedding),
      norm_gain_(frame.norm_gain),
      head_site_(frame.head_site, device_, "head"),
      head_(frame.head, device_) {}

void ResidentModel::add(const LayerImage& layer) {
  layers_.emplace_back(layer, sizes_, device_, "layer " + std::to_string(layers_.size()));
}

std::unique_ptr<DeviceSession> ResidentModel::open(planish::index sequences, planish::index capacity) const {
  if (sequences < 1 || capacity < 1 || sequences > std::numeric_limits<std::int32_t>::max() / capacity)
    fail("--backend cuda: ", sequences, " sequences of ", capacity, " tokens are too many for one session");
  return std::make_unique<ResidentSession>(shared_from_this(), static_cast<int>(sequences), static_cast<int>(capacity));
}

void ResidentModel::embed(const Batch& batch, float* x, const Run& run) const {
  start(gather_rows<>, batch.rows, row_threads, 0, run, embedding_.data(), batch.ids, sizes_.hidden, x);
}

void ResidentModel::normalise(const float* x, int rows, float* y, const Run& run) const {
  start(rms_norm_rows<>, rows, row_threads, row_threads * static_cast<int>(sizeof(double)), run, x, norm_gain_.data(),
        sizes_.norm_epsilon, sizes_.hidden, y);
}

void ResidentModel::logits(const float* hidden, int rows, float* y, const SiteBuffers& buffers, const Run& run) const {
  head_.multiply(head_site_.prepare(hidden, rows, buffers, run)[0], rows, nullptr, y, run);
}

std::int64_t ResidentModel::workspace_bytes(int most_rows, int most_scored) const {
  std::int64_t most = head_.workspace_bytes(most_scored, device_);
  for (const DeviceLayer& layer : layers_) most = std::max(most, layer.workspace_bytes(most_rows, device_));
  return most;
}

std::vector<float> ResidentModel::rotary_values(int capacity, bool sines) const {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(capacity) * frequencies_.size());
  for (int p = 0; p < capacity; ++p)
    for (const double frequency : frequencies_) {
      const double angle = static_cast<double>(p) * frequency;
      values.push_back(static_cast<float>(sines ? std::sin(angle) : std::cos(angle)));
    }
  return values;
}

RotaryTable ResidentModel::rotary_table(const float* cosines, const float* sines) const noexcept {
  return {cosines, sines, static_cast<int>(frequencies_.size()), interleaved_};
}

}  // namespace llama::gpu
