#pragma once
#include <array>
#include <string>
#include <vector>

#include <planish/kernels/cuda/row_prologue.cuh>
#include <planish/packing/row_quantizer.hpp>

#include "image.hpp"
#include "run.cuh"

namespace llama::gpu {

/// What rows meet before a transform, where it reads them.
struct Before {
  planish::kernels::cuda::Prologue prologue = planish::kernels::cuda::Prologue::none;
  planish::kernels::cuda::PrologueArguments arguments{};
};

/// A transform's steps on the device.
class DeviceSteps {
 public:
  DeviceSteps() = default;
  /// Rows of so many channels. Throws Error, naming `where`, where no kernel takes a size.
  DeviceSteps(const std::vector<StepImage>& steps, int channels,
              const planish::kernels::cuda::DeviceCapabilities& device, std::string where);

  struct Step {
    DeviceArray<float> offset, scale, left, right;
    int n1 = 0, n2 = 0;
    float factor = 1.0f;
  };
  [[nodiscard]] const std::vector<Step>& all() const noexcept { return steps_; }
  [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }

  /// The first `count` steps of dense rows of x, by way of two buffers; where the result is. `before`: of the first.
  const float* apply(std::size_t count, const float* x, int rows, float* first, float* second, const Run& run,
                     const Before& before = {}) const;

 private:
  std::vector<Step> steps_;
  int channels_ = 0;
  std::string where_;
};

/// Buffers of a site's results, each for the most rows.
struct SiteBuffers {
  float* between[2] = {};
  planish::QuantizedRowsSpan codes[3];  // one for each distinct quantizer; their shape is set by `prepare`
};

/// Bytes from row to row of codes.
[[nodiscard]] constexpr planish::index code_stride(int columns) noexcept { return (columns + 15) / 16 * 16; }

/// Transform and quantizers of an input that several matrices read.
class DeviceSite {
 public:
  DeviceSite() = default;
  DeviceSite(const SiteImage& image, const planish::kernels::cuda::DeviceCapabilities& device,
             const std::string& where);

  /// Whether `prepare` computes what stands before: its transform begins with a product.
  [[nodiscard]] bool takes_prologue() const noexcept { return !steps_.empty() && steps_.all().front().n1 != 0; }
  /// What each matrix reads of x, `rows` dense rows; valid until the buffers are used again.
  [[nodiscard]] std::array<SiteInput, 3> prepare(const float* x, int rows, const SiteBuffers& buffers, const Run& run,
                                                 const Before& before = {}) const;

 private:
  void quantize(const float* x, int rows, const planish::RowQuantizer& quantizer, planish::QuantizedRowsSpan& codes,
                const Run& run) const;

  int channels_ = 0;
  DeviceSteps steps_;
  std::vector<planish::RowQuantizer> quantizers_;
  std::vector<int> input_of_;
  std::string where_;
};

}  // namespace llama::gpu
