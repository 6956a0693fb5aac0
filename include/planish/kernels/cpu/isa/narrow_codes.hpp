#pragma once
// The low bytes of four vectors of 32-bit lanes, behind one another.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr bool adds_up_codes = true;

/// Sums of codes on their way to memory, which is quicker than to read them back; lanes 0 to 7 belong to the first half
/// of every 64, the others to the second.
class CodeSums {
 public:
  PLANISH_ALWAYS_INLINE void add(__m512i codes) noexcept { sums_ = isa::dot_add(sums_, _mm512_set1_epi8(1), codes); }
  [[nodiscard]] PLANISH_ALWAYS_INLINE std::int32_t all() const noexcept { return isa::sum_of_lanes(sums_); }
  [[nodiscard]] PLANISH_ALWAYS_INLINE std::int32_t half(int which) const noexcept {
    return isa::sum_of_lanes(_mm512_maskz_mov_epi32(which == 0 ? 0x00ff : 0xff00, sums_));
  }

 private:
  __m512i sums_ = _mm512_setzero_si512();
};

/// Bits that were set in `so_far` or in which a and b differ.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch with_differences(IntBatch so_far, IntBatch a, IntBatch b) noexcept {
  constexpr int a_or_b_xor_c = 0xf6;
  return IntBatch(_mm512_ternarylogic_epi32(static_cast<__m512i>(so_far), static_cast<__m512i>(a),
                                            static_cast<__m512i>(b), a_or_b_xor_c));
}
[[nodiscard]] PLANISH_ALWAYS_INLINE bool is_zero(IntBatch x) noexcept {
  return _mm512_test_epi32_mask(static_cast<__m512i>(x), static_cast<__m512i>(x)) == 0;
}

namespace detail {

/// Bytes of a and b in turns in the lower half of each quarter, of c and d in the upper half.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m512i bytes_in_turns(IntBatch a, IntBatch b, IntBatch c, IntBatch d) noexcept {
  constexpr __mmask32 odd_words = 0xaaaaaaaa;
  const auto words = [](IntBatch even, IntBatch odd) __attribute__((always_inline)) {
    return _mm512_mask_blend_epi16(odd_words, static_cast<__m512i>(even),
                                   _mm512_maskz_slli_epi32(0xffff, static_cast<__m512i>(odd), 16));
  };
  return _mm512_packs_epi16(words(a, b), words(c, d));
}

}  // namespace detail

/// Lanes may hold anything above their low bytes if the 16 low bits, as a signed number, fit int8.
PLANISH_ALWAYS_INLINE void store_four_vectors_of_codes(IntBatch a, IntBatch b, IntBatch c, IntBatch d, std::int8_t* to,
                                                       CodeSums& sums) noexcept {
  const __m512i sorter = _mm512_set4_epi32(0x0f0d0b09, 0x0e0c0a08, 0x07050301, 0x06040200);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes = _mm512_shuffle_epi8(detail::bytes_in_turns(a, b, c, d), sorter);
  const __m512i sorted = _mm512_maskz_permutexvar_epi32(0xffff, order, bytes);
  _mm512_storeu_si512(to, sorted);
  sums.add(sorted);
}

/// The same for lanes that belong to two rows in turns: 32 codes of each.
PLANISH_ALWAYS_INLINE void store_codes_of_two_rows(IntBatch a, IntBatch b, IntBatch c, IntBatch d, std::int8_t* to0,
                                                   std::int8_t* to1, CodeSums& sums) noexcept {
  alignas(64) static constexpr std::uint16_t order[32] = {0, 8,  16, 24, 1, 9,  17, 25, 2, 10, 18, 26, 3, 11, 19, 27,
                                                          4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30, 7, 15, 23, 31};
  const __m512i sorter = _mm512_set4_epi32(0x0f0b0e0a, 0x07030602, 0x0d090c08, 0x05010400);
  const __m512i bytes = _mm512_shuffle_epi8(detail::bytes_in_turns(a, b, c, d), sorter);
  const __m512i sorted = _mm512_maskz_permutexvar_epi16(~__mmask32{0}, _mm512_load_si512(order), bytes);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to0), _mm512_castsi512_si256(sorted));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to1), _mm512_maskz_extracti64x4_epi64(0xf, sorted, 1));
  sums.add(sorted);
}
#else
inline constexpr bool adds_up_codes = false;
struct CodeSums {
  [[nodiscard]] static constexpr std::int32_t all() noexcept { return 0; }
};

[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch with_differences(IntBatch so_far, IntBatch a, IntBatch b) noexcept {
  return so_far | (a ^ b);
}
[[nodiscard]] PLANISH_ALWAYS_INLINE bool is_zero(IntBatch x) noexcept { return xsimd::all(x == IntBatch(0)); }

/// Lanes hold 1.5 · 2²³ as a float and an integer that fits int8 on top.
PLANISH_ALWAYS_INLINE void store_four_vectors_of_codes(IntBatch a, IntBatch b, IntBatch c, IntBatch d, std::int8_t* to,
                                                       CodeSums&) noexcept {
  const IntBatch magic(0x4b400000);
  isa::Best::store_codes(a - magic, to);
  isa::Best::store_codes(b - magic, to + float_lanes);
  isa::Best::store_codes(c - magic, to + 2 * float_lanes);
  isa::Best::store_codes(d - magic, to + 3 * float_lanes);
}
PLANISH_ALWAYS_INLINE void store_codes_of_two_rows(IntBatch, IntBatch, IntBatch, IntBatch, std::int8_t*, std::int8_t*,
                                                   CodeSums&) noexcept {}
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
