#pragma once
// The one door to xsimd: every float loop of this backend is written with FloatBatch.
#include <xsimd/xsimd.hpp>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// As many floats as one register of the compiled-for instruction set holds.
using FloatBatch = xsimd::batch<float>;

inline constexpr index float_lanes = static_cast<index>(FloatBatch::size);

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
