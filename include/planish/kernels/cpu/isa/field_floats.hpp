#pragma once
// Small unsigned fields of 32-bit lanes as floats, without a conversion instruction.
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// What float_of_field adds to a field that starts at bit `at`: the number whose mantissa counts in steps of that bit.
[[nodiscard]] constexpr std::int32_t field_base(int at) noexcept { return std::int32_t{1} << (23 - at); }

/// field_base(At) + the `Width` bits from bit At of each lane, At + Width ≤ 23: the field is put under an exponent that
/// gives its lowest bit the value 1. Exact, and so is subtracting field_base(At) + any integer of that width.
template <int At, int Width>
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch float_of_field(IntBatch lanes) noexcept {
  static_assert(At >= 0 && Width > 0 && At + Width <= 23, "planish: the field has to lie inside the mantissa");
  constexpr std::int32_t mask = ((std::int32_t{1} << Width) - 1) << At;
  constexpr auto exponent = std::bit_cast<std::int32_t>(static_cast<float>(field_base(At)));
#if defined(__AVX512F__)
  constexpr int masked_or = 0xea;  // (a & b) | c
  return FloatBatch(_mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(lanes, _mm512_set1_epi32(mask), _mm512_set1_epi32(exponent), masked_or)));
#else
  return bits_as<FloatBatch>((lanes & IntBatch(mask)) | IntBatch(exponent));
#endif
}

#if defined(__AVX512F__)
/// table[lowest four bits of the lane]; the other bits mean nothing.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch look_up(FloatBatch table, IntBatch lanes) noexcept {
  return FloatBatch(_mm512_maskz_permutexvar_ps(0xffff, lanes, table));
}
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
