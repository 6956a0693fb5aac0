#pragma once
// Codes of 8 bits as bfloat16, which holds each of them exactly, in matrix tiles, and their products with split floats.
#include <planish/kernels/cpu/isa/split_tiles.hpp>

#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
#include <cstdint>
#include <immintrin.h>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// 16 codes; each lane is the float of one, whose lower half is 0.
[[nodiscard]] PLANISH_ALWAYS_INLINE __m512i float_bits(const std::int8_t* codes) noexcept {
  const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  return _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(some)));
}

/// Two tiles, of 16 columns each, of `terms` ≤ 32 rows of codes, `stride` bytes apart: a line for each pair of rows.
inline void pack_code_tiles(const std::int8_t* from, index stride, index terms, std::uint32_t* to) noexcept {
  for (index half = 0; half < 2; ++half, from += 16, to += 256)
    for (index pair = 0; pair < 16; ++pair) {
      const index k = 2 * pair;
      const __m512i zero = _mm512_setzero_si512(), first = k < terms ? float_bits(from + k * stride) : zero,
                    second = k + 1 < terms ? float_bits(from + (k + 1) * stride) : zero;
      _mm512_store_si512(to + 16 * pair, _mm512_or_si512(second, _mm512_srli_epi32(first, 16)));
    }
}

/// c (32 × 32, rows `stride` floats apart) = or += the product of `steps` blocks of split floats and of codes.
inline void multiply_code_tiles(const float* a, const std::uint32_t* b, index steps, bool adds, float* c,
                                index stride) noexcept {
  sum_in_tiles(
      steps, adds, c, stride, [&]() __attribute__((always_inline)) {
        _tile_loadd(4, a, 64);  // low
        _tile_loadd(6, b, 64);
        _tile_loadd(7, b + 256, 64);
        _tile_loadd(5, a + 256, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(4, a + 512, 64);  // high
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        _tile_loadd(5, a + 768, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        a += 1024;
        b += 512;
      });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
