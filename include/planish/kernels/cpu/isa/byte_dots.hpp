#pragma once
// Dot products of four bytes a lane, where attention computes with them directly.
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

#if defined(PLANISH_HAS_AVX512VNNI)
#include <planish/kernels/cpu/isa/avx512vnni.hpp>
#endif

namespace planish::inline PLANISH_ABI::kernels::cpu {

#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr bool has_byte_dots = true;

/// sums + Σ of four unsigned bytes times four signed bytes.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch add_byte_dots(IntBatch sums, IntBatch unsigned_bytes,
                                                           IntBatch signed_bytes) noexcept {
  return IntBatch(isa::dot_add(sums, unsigned_bytes, signed_bytes));
}
#else
inline constexpr bool has_byte_dots = false;
#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
