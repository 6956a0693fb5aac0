#pragma once
// One step of a multiply-add loop: the instructions that an exact product on this instruction set needs, and how many
// rows × columns of sums registers hold.
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <planish/core/abi.hpp>
#include <planish/core/rescale.hpp>

namespace bench {

#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr int spun_rows = 12, spun_columns = 2;
using Integers = __m512i;
using Floats = __m512;
inline constexpr double dot_operations = 128, fma_operations = 32;  // per step
inline void dot_step(Integers& sum, Integers a, Integers b) noexcept {
  asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
inline void fma_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#if defined(__AVX512BF16__)
#define PLANISH_BENCH_HAS_BF16_STEP
inline constexpr double bf16_operations = 64;
inline void bf16_step(Floats& sum, Floats a, Floats b) noexcept {
  asm volatile("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}
#endif
#elif defined(PLANISH_HAS_AVX2)
inline constexpr int spun_rows = 5, spun_columns = 2;
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
inline constexpr int spun_rows = 5, spun_columns = 2;
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
inline constexpr int spun_rows = 5, spun_columns = 2;
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

/// Four bytes, once per lane.
template <class Vector>
inline Vector broadcast(const std::uint8_t* four) noexcept {
  using Lanes [[gnu::vector_size(sizeof(Vector)), gnu::may_alias]] = std::int32_t;
  std::int32_t lane;
  std::memcpy(&lane, four, sizeof lane);
  const Lanes lanes = Lanes{} + lane;
  Vector vector;
  std::memcpy(&vector, &lanes, sizeof vector);
  return vector;
}

}  // namespace bench
