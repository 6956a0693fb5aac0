#pragma once
// Floats as pairs of bfloat16 in matrix tiles, and the products of such tiles.
#include <planish/core/abi.hpp>

#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
#include <algorithm>
#include <cstdint>
#include <immintrin.h>

#include <planish/core/index.hpp>
#include <planish/kernels/cpu/isa/amx.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu::isa {

/// 32 floats rounded to bfloat16, and what that left, rounded again.
struct SplitFloats {
  __m512i high, low;

  PLANISH_ALWAYS_INLINE SplitFloats(__m512 x0, __m512 x1) noexcept {
    high = (__m512i)_mm512_cvtne2ps_pbh(x1, x0);
    const __m512 rest0 = _mm512_sub_ps(x0, widened(_mm512_castsi512_si256(high)));
    const __m512 rest1 = _mm512_sub_ps(x1, widened(_mm512_extracti64x4_epi64(high, 1)));
    low = (__m512i)_mm512_cvtne2ps_pbh(rest1, rest0);
  }
  [[nodiscard]] PLANISH_ALWAYS_INLINE static __m512 widened(__m256i half) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
};

/// to (16 × 16) = fromᵀ.
PLANISH_ALWAYS_INLINE void transpose_dwords(const __m512i* from, std::uint32_t* to) noexcept {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 4) {
    const __m512i ab = _mm512_unpacklo_epi32(from[i], from[i + 1]),
                  cd = _mm512_unpacklo_epi32(from[i + 2], from[i + 3]);
    const __m512i AB = _mm512_unpackhi_epi32(from[i], from[i + 1]),
                  CD = _mm512_unpackhi_epi32(from[i + 2], from[i + 3]);
    a[i] = _mm512_unpacklo_epi64(ab, cd);
    a[i + 1] = _mm512_unpackhi_epi64(ab, cd);
    a[i + 2] = _mm512_unpacklo_epi64(AB, CD);
    a[i + 3] = _mm512_unpackhi_epi64(AB, CD);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88);
    b[i + 4] = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xdd);
    b[i + 8] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
    b[i + 12] = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    _mm512_store_si512(to + 16 * i, _mm512_shuffle_i32x4(b[i], b[i + 8], 0x88));
    _mm512_store_si512(to + 16 * (i + 8), _mm512_shuffle_i32x4(b[i], b[i + 8], 0xdd));
    _mm512_store_si512(to + 16 * (i + 4), _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0x88));
    _mm512_store_si512(to + 16 * (i + 12), _mm512_shuffle_i32x4(b[i + 4], b[i + 12], 0xdd));
  }
}

template <bool Transposed>
PLANISH_ALWAYS_INLINE void store_tile(const __m512i* lines, std::uint32_t* to) noexcept {
  if constexpr (Transposed)
    transpose_dwords(lines, to);
  else
    for (int i = 0; i < 16; ++i) _mm512_store_si512(to + 16 * i, lines[i]);
}

[[nodiscard]] PLANISH_ALWAYS_INLINE __mmask16 first_lanes(index count) noexcept {
  return static_cast<__mmask16>((1u << std::clamp<index>(count, 0, 16)) - 1u);
}

/// A tile of `rows` ≤ 16 dense rows of `terms` ≤ 32 floats: a line for each row, or, `Transposed`, for each pair of
/// terms. Each term is multiplied by its own of `factors`, if there are any.
template <bool Transposed>
inline void split_rows(const float* from, index stride, index rows, index terms, std::uint32_t* high,
                       std::uint32_t* low, const float* factors = nullptr) noexcept {
  __m512i highs[16], lows[16];
  const __mmask16 first = first_lanes(terms), second = first_lanes(terms - 16);
  const __m512 one = _mm512_set1_ps(1.0f), factor0 = factors ? _mm512_maskz_loadu_ps(first, factors) : one,
               factor1 = factors ? _mm512_maskz_loadu_ps(second, factors + 16) : one;
  for (index r = 0; r < 16; ++r) {
    const float* const at = from + std::min(r, rows) * stride;
    const __mmask16 some = r < rows ? first : __mmask16{0}, more = r < rows ? second : __mmask16{0};
    _mm_prefetch(reinterpret_cast<const char*>(at + 64), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(at + 80), _MM_HINT_T0);
    const SplitFloats split(_mm512_mul_ps(_mm512_maskz_loadu_ps(some, at), factor0),
                            _mm512_mul_ps(_mm512_maskz_loadu_ps(more, at + 16), factor1));
    highs[r] = split.high;
    lows[r] = split.low;
  }
  store_tile<Transposed>(highs, high);
  store_tile<Transposed>(lows, low);
}

/// The same of rows whose columns are dense, `stride` apart: a line for each pair of terms, or, `Transposed`, for each
/// row.
template <bool Transposed>
inline void split_columns(const float* from, index stride, index rows, index terms, std::uint32_t* high,
                          std::uint32_t* low, const float* factors = nullptr) noexcept {
  alignas(64) static constexpr auto order = [] {
    struct Words {
      std::uint16_t at[32];
    } words{};
    for (int i = 0; i < 32; ++i) words.at[i] = static_cast<std::uint16_t>(i / 2 + i % 2 * 16);
    return words;
  }();
  const __m512i interleave = _mm512_load_si512(&order);
  __m512i highs[16], lows[16];
  const __mmask16 some = first_lanes(rows);
  for (index pair = 0; pair < 16; ++pair) {
    const index k = 2 * pair;
    const float *const at = from + std::min(k, terms) * stride, *const next = from + std::min(k + 1, terms) * stride;
    _mm_prefetch(reinterpret_cast<const char*>(at + 32 * stride), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(next + 32 * stride), _MM_HINT_T0);
    const auto factor = [&](index term) { return _mm512_set1_ps(factors && term < terms ? factors[term] : 1.0f); };
    const SplitFloats split(
        _mm512_mul_ps(_mm512_maskz_loadu_ps(k < terms ? some : __mmask16{0}, at), factor(k)),
        _mm512_mul_ps(_mm512_maskz_loadu_ps(k + 1 < terms ? some : __mmask16{0}, next), factor(k + 1)));
    highs[pair] = _mm512_permutexvar_epi16(interleave, split.high);
    lows[pair] = _mm512_permutexvar_epi16(interleave, split.low);
  }
  store_tile<Transposed>(highs, high);
  store_tile<Transposed>(lows, low);
}

/// c (32 × 32, rows `stride` floats apart) = or += what `steps` calls of step() add to the sums in tiles 0 to 3. The
/// 32 rows behind c, which are next, come near meanwhile.
template <class Step>
PLANISH_ALWAYS_INLINE void sum_in_tiles(index steps, bool adds, float* c, index stride, const Step& step) noexcept {
  const auto row = static_cast<std::size_t>(stride) * sizeof(float);
  float* const lower = c + 16 * stride;
  tiles_read_memory();
  if (adds) {
    _tile_loadd(0, c, row);
    _tile_loadd(1, c + 16, row);
    _tile_loadd(2, lower, row);
    _tile_loadd(3, lower + 16, row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const index rows = (32 + steps - 1) / std::max<index>(steps, 1);  // to fetch in each step
  const float* next = lower + 16 * stride;
  for (index i = 0; i < steps; ++i) {
    for (index r = 0; r < rows; ++r, next += stride) {
      __builtin_prefetch(next, 1);
      __builtin_prefetch(next + 16, 1);
    }
    step();
  }
  _tile_stored(0, c, row);
  _tile_stored(1, c + 16, row);
  _tile_stored(2, lower, row);
  _tile_stored(3, lower + 16, row);
  tiles_read_memory();
}

/// The product of `steps` packed blocks of both operands; c as above.
inline void multiply_split_tiles(const float* a, const float* b, index steps, bool adds, float* c,
                                 index stride) noexcept {
  sum_in_tiles(
      steps, adds, c, stride, [&]() __attribute__((always_inline)) {
        _tile_loadd(4, a, 64);  // low
        _tile_loadd(6, b, 64);  // high
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
        _tile_loadd(6, b + 512, 64);  // low
        _tile_dpbf16ps(3, 5, 7);
        _tile_loadd(7, b + 768, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        a += 1024;
        b += 1024;
      });
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu::isa
#endif
