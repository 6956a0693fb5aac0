#pragma once
#include <span>
#include <string>
#include <vector>

#include "../model.hpp"
#include "image.hpp"

namespace llama::gpu {

/// The steps that a transform takes on a GPU: neighbouring shifts and scales are one step, a Hadamard matrix becomes
/// the Kronecker product of two factors of ±1. Throws Error for stages that no step stands for; `where` names them.
[[nodiscard]] std::vector<StepImage> steps_of(const planish::AnyTransform& transform, const std::string& where);

/// A site for its matrices, the first of which is the first consumer. Throws Error.
[[nodiscard]] SiteImage image_of(const planish::AnySite& site, std::size_t matrices, const std::string& where);

/// A matrix whose input has codes or not.
[[nodiscard]] LinearImage image_of(const planish::AnyLinear& linear, bool reads_codes, const std::string& where);

/// A block. Throws Error, in a sentence that names the part of the recipe, for what the GPU does not run.
[[nodiscard]] LayerImage image_of(const Block& block, const std::string& where);

/// Embedding, last norm and head.
[[nodiscard]] FrameImage frame_of(const Model& model);

}  // namespace llama::gpu
