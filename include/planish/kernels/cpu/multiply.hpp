#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/reference/multiply.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

using reference::multiply;
using reference::multiply_accumulators;
using reference::multiply_scratch_bytes;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
