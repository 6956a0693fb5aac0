#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>

namespace planish::inline PLANISH_ABI {

/// Magnitudes below this are zero as operands of products of bfloat16.
inline constexpr float least_bfloat16_term = 0x1p-56f;

/// A value as an operand of products of bfloat16: rounded to bfloat16, ties to even; magnitudes below 2⁻⁵⁶ become 0. A
/// product of two such terms is a multiple of 2⁻¹²⁶, and so is every sum of products: none is subnormal, so units that
/// flush subnormal numbers to zero agree with those that do not. Products have 16 significant bits: float32 holds them
/// exactly, and a fused multiply-add gives the same as a multiplication and an addition.
[[nodiscard]] constexpr float bfloat16_term(float value) noexcept {
  const float rounded = BFloat16::from_float(value).to_float();
  return rounded < least_bfloat16_term && rounded > -least_bfloat16_term ? 0.0f : rounded;
}

/// Terms of a block. A sum of products takes two partial sums, over even and over odd terms of a block in rising order,
/// and adds the sum of both to what earlier blocks gave: the order in which matrix tiles add.
inline constexpr int bfloat16_block_terms = 32;

}  // namespace planish::inline PLANISH_ABI
