#pragma once
// The one place that knows compiler flags: which instruction sets this translation unit may use, and the
// inline namespace that keeps units built with different flags from sharing a function body.

#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : __cplusplus < 202002L
#error "planish needs C++20: compile with -std=c++20"
#elif defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#error "planish needs g++ 12 or clang 14, or newer"
#elif defined(__clang__) && __clang_major__ < 14
#error "planish needs g++ 12 or clang 14, or newer"
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "planish needs a little-endian target: kernels and files read the bytes of numbers as they lie"
#endif

#if defined(__FAST_MATH__)
#error "planish: -ffast-math and --use_fast_math change codes; compile units that include planish without them"
#endif

#if defined(__CUDACC__)
#define PLANISH_HOST_DEVICE __host__ __device__
#else
#define PLANISH_HOST_DEVICE
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PLANISH_ALWAYS_INLINE [[gnu::always_inline]] inline
#else
#define PLANISH_ALWAYS_INLINE __forceinline
#endif

// Functions through which units enter what is costly to compile, the CPU's kernels above all. Templates, so that a unit
// compiles those that it calls and no others; or plain functions where a program defines PLANISH_SEPARATE_BODIES for
// all its units, compiled only by those that include <planish/bodies.hpp>.
#if defined(PLANISH_SEPARATE_BODIES)
#define PLANISH_ENTRY
#else
#define PLANISH_ENTRY template <int = 0>
#endif

// Before a function whose body costs a unit more than its declaration: what makes, copies and describes values, and
// what lies between an entry and a kernel. Whatever an inline function calls, the vectors, spans and results of its
// body, is instantiated in every unit that includes it; of a template that nobody calls it is only read.
#define PLANISH_LAZY template <int = 0>

// Widest level first. A level is named after the integer dot product it brings; the suffixes are further
// instruction sets that let the compiler emit code which the level alone does not promise.
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && \
    defined(__FMA__)
#if (defined(__AMX_TILE__) && defined(__AMX_INT8__)) || (defined(__AMXTILE__) && defined(__AMXINT8__))  // clang < 16
#define PLANISH_HAS_AMX_INT8 1
#endif
#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__)
#define PLANISH_ABI v1_avx512vnni_bf16_amx
#elif defined(PLANISH_HAS_AMX_INT8)
#define PLANISH_ABI v1_avx512vnni_amx
#elif defined(__AVX512BF16__)
#define PLANISH_ABI v1_avx512vnni_bf16
#else
#define PLANISH_ABI v1_avx512vnni
#endif
#define PLANISH_HAS_AVX512VNNI 1
#elif defined(__AVX512F__)
#define PLANISH_ABI v1_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#if defined(__AVXVNNI__)
#define PLANISH_ABI v1_avx2_vnni
#define PLANISH_HAS_AVXVNNI 1
#else
#define PLANISH_ABI v1_avx2
#endif
#elif defined(__AVX__)
#define PLANISH_ABI v1_avx
#elif defined(__SSE4_1__)
#define PLANISH_ABI v1_sse4
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#if defined(__ARM_FEATURE_MATMUL_INT8)
#define PLANISH_ABI v1_neon_i8mm
#define PLANISH_HAS_NEON_I8MM 1
#else
#define PLANISH_ABI v1_neon_dotprod
#endif
#define PLANISH_HAS_NEON_DOTPROD 1
#else
#define PLANISH_ABI v1_portable
#endif

#if defined(__AVX2__) && defined(__FMA__)
#define PLANISH_HAS_AVX2 1
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define PLANISH_HAS_EXCEPTIONS 1
#endif
