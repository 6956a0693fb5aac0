#pragma once
// The functions through which calibration reaches the products of learning: their bodies, or, in a program that
// compiles them apart (planish/calibration_bodies.hpp), what they are called.
#include <planish/core/abi.hpp>

#if !defined(PLANISH_SEPARATE_BODIES)
#include <planish/kernels/cpu/learning_bodies.hpp>
#else
#include <cstdint>
#include <span>

#include <planish/core/executor.hpp>
#include <planish/kernels/cpu/learning_jobs.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

void multiply_float_block(const FloatProduct& m, Range strips, Range panels, std::span<float> scratch) noexcept;
void multiply_rounded_block(const RoundedProduct& m, Range strips, Range panels,
                            std::span<std::int32_t> scratch) noexcept;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
