#pragma once
#include "../flatquant_build.hpp"
#include "learned_block.hpp"

namespace llama {

/// What a block has learned, as plain values, from the variables that `record` put on the tape. Rows of q and k and
/// channels of the key factor go to the order of rotate_half.
[[nodiscard]] FlatQuantParameters export_parameters(const Config& config, const LearnedBlock<float>& block);

}  // namespace llama
