#pragma once
#include <string>

#include <planish/kernels/cuda/fragment_weights.cuh>

#include "float_product.cuh"
#include "image.hpp"
#include "run.cuh"

namespace llama::gpu {

/// A matrix on the device, in the form that its input asks for: fragments for codes, else rows of codes or floats.
class DeviceLinear {
 public:
  /// Throws Error, naming the matrix, where no kernel takes it.
  DeviceLinear(const LinearImage& image, const planish::kernels::cuda::DeviceCapabilities& device);

  [[nodiscard]] int rows() const noexcept { return rows_; }

  /// y = in · Wᵀ + b + residual (null: none; it may be y), `tokens` dense rows of float32.
  void multiply(const SiteInput& in, int tokens, const float* residual, float* y, const Run& run) const;

  /// Bytes of zeroed workspace that products of up to so many tokens want.
  [[nodiscard]] std::int64_t workspace_bytes(int most_tokens,
                                             const planish::kernels::cuda::DeviceCapabilities& device) const;

 private:
  [[nodiscard]] planish::kernels::cuda::FragmentWeightsView fragments() const noexcept;
  void multiply_floats(const float* x, int tokens, const float* residual, float* y, const Run& run) const;

  std::string name_;
  int rows_ = 0, columns_ = 0;
  DeviceArray<float> bias_;
  planish::kernels::cuda::FragmentWeightsView shape_;  // without pointers
  DeviceArray<std::uint8_t> units_;                    // of fragments
  DeviceArray<float> unit_scales_;
  DeviceArray<std::int32_t> unit_zeros_, unit_sums_;
  FloatMatrix matrix_;  // for float inputs
  DeviceArray<float> values_, scales_;
  DeviceArray<std::uint8_t> codes_, zeros_;
};

}  // namespace llama::gpu
