#include "backend.hpp"

#include "../error.hpp"
#if defined(PLANISH_LLAMA_CUDA)
#include "device.hpp"
#include "image_of.hpp"
#endif

namespace llama::gpu {

#if defined(PLANISH_LLAMA_CUDA)

void require_gpu() { open_device(); }

std::shared_ptr<const DeviceModel> copy_to_gpu(const Model& model) {
  auto copy = GpuModel::make(frame_of(model));
  index layer = 0;
  for (const Block& block : model.blocks())
    copy->add(image_of(block, model.source().path() + ": layer " + std::to_string(layer++)));
  return copy;
}

#else

void require_gpu() {
  fail("--backend cuda: this planish-llama was built without CUDA; configure it with -DPLANISH_CUDA=ON (needs nvcc)");
}

std::shared_ptr<const DeviceModel> copy_to_gpu(const Model& /*model*/) {
  require_gpu();
  return nullptr;
}

#endif

}  // namespace llama::gpu
