#pragma once
// Zero-extends bytes to 32-bit lanes, which xsimd has no portable name for.
#include <cstdint>
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// One byte per float lane, read from any address.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch widen_bytes(const std::uint8_t* bytes) noexcept {
#if defined(__AVX512F__)
  return IntBatch(_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
#elif defined(__AVX2__)
  return IntBatch(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes))));
#elif defined(__SSE4_1__) && !defined(__AVX__)
  std::int32_t four;
  std::memcpy(&four, bytes, sizeof(four));
  return IntBatch(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
#else
  std::int32_t lanes[float_lanes];
  for (index i = 0; i < float_lanes; ++i) lanes[i] = bytes[i];
  return IntBatch::load_unaligned(lanes);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
