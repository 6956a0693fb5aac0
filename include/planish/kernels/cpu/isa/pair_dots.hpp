#pragma once
// Dot products of pairs of 16-bit integers, a pair to a lane, which xsimd has no portable name for.
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Lane by lane, sums + the products of the halves of a and b; exact while the sums fit 32 bits and no half of `a` is
/// −2¹⁵ where one of `b` is.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch add_pair_dots(IntBatch sums, IntBatch a, IntBatch b) noexcept {
#if defined(PLANISH_HAS_AVX512VNNI) && defined(__GNUC__) && !defined(__clang__)
  // As dot_add of avx512vnni.hpp: GCC 12 copies and spills accumulators around the intrinsic.
  __m512i to = sums;
  asm("vpdpwssd %2, %1, %0" : "+v"(to) : "v"(static_cast<__m512i>(a)), "v"(static_cast<__m512i>(b)));
  return IntBatch(to);
#elif defined(PLANISH_HAS_AVX512VNNI)
  return IntBatch(_mm512_dpwssd_epi32(sums, a, b));
#elif defined(__AVX512BW__)
  return sums + IntBatch(_mm512_madd_epi16(a, b));
#elif defined(__AVX2__) && !defined(__AVX512F__)
  return sums + IntBatch(_mm256_madd_epi16(a, b));
#else
  const auto low = [](IntBatch x) { return (x << 16) >> 16; };
  return sums + low(a) * low(b) + (a >> 16) * (b >> 16);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
