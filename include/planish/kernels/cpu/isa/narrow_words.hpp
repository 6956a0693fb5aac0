#pragma once
// The low bytes of 32-bit lanes, which xsimd has no portable name for.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// One byte per lane.
PLANISH_ALWAYS_INLINE void store_low_bytes(IntBatch words, std::uint8_t* to) noexcept {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_cvtepi32_epi8(0xffff, words));
#else
  alignas(64) std::int32_t lanes[IntBatch::size];
  words.store_aligned(lanes);
  for (index i = 0; i < float_lanes; ++i) to[i] = static_cast<std::uint8_t>(lanes[i]);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
