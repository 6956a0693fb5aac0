#pragma once
#include <memory>
#include <vector>

#include "device.hpp"
#include "layer.cuh"

namespace llama::gpu {

/// GpuModel as it lies on the device.
class ResidentModel final : public GpuModel, public std::enable_shared_from_this<ResidentModel> {
 public:
  explicit ResidentModel(const FrameImage& frame);

  void add(const LayerImage& layer) override;
  [[nodiscard]] std::unique_ptr<DeviceSession> open(planish::index sequences, planish::index capacity) const override;

  [[nodiscard]] const Sizes& sizes() const noexcept { return sizes_; }
  [[nodiscard]] const planish::kernels::cuda::DeviceCapabilities& device() const noexcept { return device_; }
  [[nodiscard]] const std::vector<DeviceLayer>& layers() const noexcept { return layers_; }

  /// x(r) = the embedding of id r.
  void embed(const Batch& batch, float* x, const Run& run) const;
  /// The last RMSNorm.
  void normalise(const float* x, int rows, float* y, const Run& run) const;
  /// Logits of normalised rows, rows × vocabulary.
  void logits(const float* hidden, int rows, float* y, const SiteBuffers& buffers, const Run& run) const;

  /// Bytes of zeroed workspace that layers want for so many rows, and the head for `most_scored` of them.
  [[nodiscard]] std::int64_t workspace_bytes(int most_rows, int most_scored) const;

  /// Cosines and sines of positions up to `capacity`.
  [[nodiscard]] std::vector<float> rotary_values(int capacity, bool sines) const;
  [[nodiscard]] RotaryTable rotary_table(const float* cosines, const float* sines) const noexcept;

 private:
  planish::kernels::cuda::DeviceCapabilities device_;
  Sizes sizes_;
  bool interleaved_ = false;
  std::vector<double> frequencies_;
  DeviceArray<float> embedding_, norm_gain_;
  DeviceSite head_site_;
  DeviceLinear head_;
  std::vector<DeviceLayer> layers_;
};

}  // namespace llama::gpu
