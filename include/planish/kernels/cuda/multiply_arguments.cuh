#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/fragment_weights.cuh>
#include <planish/packing/quantized_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// y = x · wᵀ, rescaled, + bias, + residual; every pointer is of device memory.
struct MultiplyArguments {
  QuantizedRowsView x;  // sums are read only where the weights have zeros
  FragmentWeightsView w;
  const float* bias = nullptr;       // one per channel; null: none
  const void* residual = nullptr;    // type and shape of y; null: none. May be y itself.
  std::int64_t residual_stride = 0;  // elements
  void* y = nullptr;                 // rows × channels; int32: the exact accumulators, and nothing else is computed
  std::int64_t y_stride = 0;         // elements
  void* workspace = nullptr;         // plan.workspace_bytes, zeroed once; every launch leaves it zeroed
};

/// The exact Σ (x − zero_x)(w − zero_w) from Σ x·w: the zero points leave by the sums of either side.
[[nodiscard]] PLANISH_HOST_DEVICE inline std::int32_t without_zeros(std::int32_t sum, std::int32_t token_sum,
                                                                    std::int32_t token_zero, std::int32_t channel_zero,
                                                                    std::int32_t channel_sum) noexcept {
  const auto wide = [](std::int32_t v) { return static_cast<std::uint32_t>(v); };  // wraps; the result fits
  return static_cast<std::int32_t>(wide(sum) - wide(channel_zero) * wide(token_sum) -
                                   wide(token_zero) * wide(channel_sum));
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
