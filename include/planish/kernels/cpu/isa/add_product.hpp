#pragma once
#include <planish/core/abi.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// sum = multiply_add(a, b, sum), where many sums live in registers through a long loop: left to itself GCC 12 also
/// adds into a and b, and then moves and spills sums to undo that.
PLANISH_ALWAYS_INLINE void add_product(FloatBatch& sum, FloatBatch a, FloatBatch b) noexcept {
#if defined(__AVX512F__) && defined(__GNUC__) && !defined(__clang__)
  __m512 total = sum;
  asm("vfmadd231ps %2, %1, %0" : "+v"(total) : "v"(static_cast<__m512>(a)), "v"(static_cast<__m512>(b)));
  sum = FloatBatch(total);
#else
  sum = multiply_add(a, b, sum);
#endif
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
