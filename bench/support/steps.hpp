#pragma once
// One step of a multiply-add loop in registers: the instructions that an exact product on this instruction set needs.
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>

namespace bench {

#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr const char* isa = "avx512vnni";
inline constexpr int accumulators = 24, left_operands = 2, right_operands = 4;
using Integers = __m512i;
using Floats = __m512;
inline constexpr double dot_operations = 128, fma_operations = 32;  // per step
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#elif defined(PLANISH_HAS_AVX2)
inline constexpr const char* isa = "avx2";
inline constexpr int accumulators = 10, left_operands = 1, right_operands = 3;
using Integers = __m256i;
using Floats = __m256;
inline constexpr double dot_operations = 32, fma_operations = 16;  // exact: int16 products, added in pairs
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  Integers pairs;
  asm volatile("vpmaddwd %2, %1, %0" : "=x"(pairs) : "x"(a), "x"(b));
  asm volatile("vpaddd %1, %0, %0" : "+x"(sum) : "x"(pairs));
}
// Of 4-bit weights: their products with bytes fit int16 in pairs.
#define PLANISH_BENCH_HAS_NIBBLE_STEP
inline constexpr double nibble_operations = 64;
inline void nibble_step(Integers& sum, Integers a, Integers b, Integers ones) noexcept {
  Integers pairs;
  asm volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs) : "x"(a), "x"(b));
  asm volatile("vpmaddwd %1, %0, %0" : "+x"(pairs) : "x"(ones));
  asm volatile("vpaddd %1, %0, %0" : "+x"(sum) : "x"(pairs));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
#elif defined(__x86_64__)
inline constexpr const char* isa = "portable";
inline constexpr int accumulators = 10, left_operands = 1, right_operands = 2;
using Integers = __m128i;
using Floats = __m128;
inline constexpr double dot_operations = 16, fma_operations = 8;
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  asm volatile("pmaddwd %1, %2\n paddd %2, %0" : "+x"(sum), "+x"(a), "+x"(b));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("mulps %1, %2\n addps %2, %0" : "+x"(sum), "+x"(a), "+x"(b));
}
#else
inline constexpr const char* isa = "portable";
inline constexpr int accumulators = 10, left_operands = 1, right_operands = 2;
using Integers = std::int32_t;
using Floats = float;
inline constexpr double dot_operations = 2, fma_operations = 2;
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  sum += a * b;
  asm volatile("" : "+r"(sum));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  sum = planish::fused_multiply_add(a, b, sum);
  asm volatile("" : "+w"(sum));
}
#endif

/// True if products with 4-bit weights have quicker exact instructions than those with bytes.
#if defined(PLANISH_BENCH_HAS_NIBBLE_STEP)
inline constexpr bool nibbles_have_a_step = true;
#else
inline constexpr bool nibbles_have_a_step = false;
#endif

}  // namespace bench
