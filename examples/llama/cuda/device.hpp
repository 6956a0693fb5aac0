#pragma once
// What the units of the CUDA compiler give to the others.
#include <memory>

#include "../device_model.hpp"
#include "image.hpp"

namespace llama::gpu {

/// Makes the first GPU current. Throws Error, in a sentence, where there is none or its driver is too old.
void open_device();

/// A model in the memory of a GPU, filled layer by layer. Throws Error where memory ends, or where no kernel takes a
/// size.
class GpuModel : public DeviceModel {
 public:
  [[nodiscard]] static std::shared_ptr<GpuModel> make(const FrameImage& frame);
  virtual void add(const LayerImage& layer) = 0;
};

}  // namespace llama::gpu
