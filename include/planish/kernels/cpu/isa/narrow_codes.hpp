#pragma once
// The low bytes of four vectors of 32-bit lanes, behind one another.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

#if defined(__AVX512BW__)
/// Lanes may hold anything above their low bytes if the 16 low bits, as a signed number, fit int8.
PLANISH_ALWAYS_INLINE void store_four_vectors_of_codes(IntBatch a, IntBatch b, IntBatch c, IntBatch d,
                                                       std::int8_t* to) noexcept {
  // Words of a and b in turns, c and d likewise; then bytes, which a shuffle within quarters and one of them sort.
  constexpr __mmask32 odd_words = 0xaaaaaaaa;
  const auto words = [](IntBatch x) __attribute__((always_inline)) { return static_cast<__m512i>(x); };
  const __m512i ab = _mm512_mask_blend_epi16(odd_words, words(a), _mm512_maskz_slli_epi32(0xffff, words(b), 16));
  const __m512i cd = _mm512_mask_blend_epi16(odd_words, words(c), _mm512_maskz_slli_epi32(0xffff, words(d), 16));
  const __m512i sorter = _mm512_set4_epi32(0x0f0d0b09, 0x0e0c0a08, 0x07050301, 0x06040200);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_shuffle_epi8(_mm512_packs_epi16(ab, cd), sorter);
  _mm512_storeu_si512(to, _mm512_maskz_permutexvar_epi32(0xffff, order, bytes));
}
#else
/// Lanes hold integers that fit int8.
PLANISH_ALWAYS_INLINE void store_four_vectors_of_codes(IntBatch a, IntBatch b, IntBatch c, IntBatch d,
                                                       std::int8_t* to) noexcept {
  isa::Best::store_codes(a, to);
  isa::Best::store_codes(b, to + float_lanes);
  isa::Best::store_codes(c, to + 2 * float_lanes);
  isa::Best::store_codes(d, to + 3 * float_lanes);
}
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
