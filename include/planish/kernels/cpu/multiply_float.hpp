#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/reference/multiply_float.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

using reference::multiply_float;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
