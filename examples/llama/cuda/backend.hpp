#pragma once
#include <memory>

#include "../device_model.hpp"

namespace llama {

class Model;

namespace gpu {

/// Throws Error, in a sentence that says what to do, unless this program was built with CUDA and a GPU is there.
void require_gpu();

/// The model's weights, transforms and quantizers in the memory of the first GPU. Throws Error where that is not
/// enough, and for parts of a recipe that the GPU does not run.
[[nodiscard]] std::shared_ptr<const DeviceModel> copy_to_gpu(const Model& model);

}  // namespace gpu
}  // namespace llama
