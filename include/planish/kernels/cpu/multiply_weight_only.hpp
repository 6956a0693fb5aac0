#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/reference/multiply_weight_only.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

using reference::multiply_weight_only;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
