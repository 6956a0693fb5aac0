#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

using reference::quantize_rows;
using reference::dequantize_rows;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
