#pragma once
// The limits that kernels are compared with, by name.
#include <planish/core/abi.hpp>

namespace bench {

/// What the products of this program are compiled for.
#if defined(PLANISH_HAS_AVX512VNNI)
inline constexpr const char* isa = "avx512vnni";
#elif defined(PLANISH_HAS_AVX2)
inline constexpr const char* isa = "avx2";
#else
inline constexpr const char* isa = "portable";
#endif

/// What products of bfloat16 are compiled for.
#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
inline constexpr const char* bf16_isa = "amx";
#else
inline constexpr const char* bf16_isa = isa;
#endif

/// True if products with 4-bit weights have quicker exact instructions than those with bytes.
#if defined(PLANISH_HAS_AVX2) && !defined(PLANISH_HAS_AVX512VNNI)
inline constexpr bool nibbles_have_a_step = true;
#else
inline constexpr bool nibbles_have_a_step = false;
#endif

/// Which limit of the machine; operations count a multiplication and an addition as two.
enum class Ceiling {
  int8_dot,    ///< operations per second of the widest exact int8 dot product
  nibble_dot,  ///< the same of 4-bit weights, where they have instructions of their own; else 0
  amx_dot,     ///< the same on matrix tiles
  fma,         ///< float operations per second
  bf16_dot,    ///< the same on pairs of bfloat16, in registers of floats; 0 without the instruction
  read,        ///< bytes per second, streamed from memory
};
inline constexpr int ceiling_count = 6;

/// Its name and unit in tables.
struct CeilingName {
  const char* name;
  const char* unit;
};
inline constexpr CeilingName ceiling_names[ceiling_count] = {{"int8 dot", "GOP/s"},   {"int4 dot", "GOP/s"},
                                                             {"AMX int8", "GOP/s"},   {"float FMA", "GFLOP/s"},
                                                             {"bf16 dot", "GFLOP/s"}, {"read", "GB/s"}};

}  // namespace bench
