#pragma once
// Products of a warpgroup (wgmma, sm_90a): 64 rows from registers × columns from shared memory, in the background.
// Where the unit is not compiled for sm_90a the functions do nothing, and `query_device` says so to the plans.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

inline constexpr int group_size = 128;  // threads of a warpgroup

#if defined(__CUDACC__)

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PLANISH_HAS_GROUP_PRODUCTS 1
#endif

/// What this thread wrote to shared memory, copies in the background included, is there for products of a warpgroup.
PLANISH_DEVICE void publish_to_products() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
/// Before the first product after registers were written.
PLANISH_DEVICE void begin_products() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
/// Closes a group of products.
PLANISH_DEVICE void commit_products() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
/// Returns once at most `Pending` groups of products are under way.
template <int Pending>
PLANISH_DEVICE void wait_products() noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
#endif
}

/// To call on the sums once their products were waited for: no reading of them may move before this.
template <int Registers>
PLANISH_DEVICE void settle(int (&d)[Registers]) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Registers; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

/// Where the products find rows of 128 bytes, 16-byte pieces exchanged as token_chunk_offset says, from a multiple of
/// 1024 bytes on; `byte`: 0, 32, 64 or 96 of each row.
PLANISH_DEVICE std::uint64_t product_rows(const unsigned char* shared, int byte) noexcept {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared)) & 0x3ffffu;
  // The rows begin at a multiple of 1024 bytes: `byte` carries nowhere, and its step is one addition to the lower half.
  const unsigned low = (address >> 4 | 1u << 16) + static_cast<unsigned>(byte) / 16;
  constexpr std::uint64_t eight_rows = 1024 / 16, exchanged_in_128 = std::uint64_t{1} << 62;
  return low | eight_rows << 32 | exchanged_in_128;
}

/// The same of one word: what is computed from it is computed after this.
PLANISH_DEVICE void settle(int& word) noexcept { asm volatile("" : "+r"(word)::"memory"); }
template <int Registers>
PLANISH_DEVICE void settle(std::uint32_t (&d)[Registers]) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Registers; ++i) asm volatile("" : "+r"(d[i])::"memory");
}
template <int Registers>
PLANISH_DEVICE void settle(float (&d)[Registers]) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Registers; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
/// To call on operands before `begin_products`: they are computed before this.
template <int Steps>
PLANISH_DEVICE void settle(std::uint32_t (&fragments)[Steps][4]) noexcept {
  PLANISH_UNROLL
  for (int s = 0; s < Steps; ++s) PLANISH_UNROLL
  for (int r = 0; r < 4; ++r) asm volatile("" : "+r"(fragments[s][r])::"memory");
}

// The 64 sums of a thread in an instruction's text, and as its operands.
#define PLANISH_SUM_NAMES                                                            \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PLANISH_EIGHT_SUMS(as, i) \
  as(d[i]), as(d[i + 1]), as(d[i + 2]), as(d[i + 3]), as(d[i + 4]), as(d[i + 5]), as(d[i + 6]), as(d[i + 7])
#define PLANISH_SUMS(as)                                                                                        \
  PLANISH_EIGHT_SUMS(as, 0), PLANISH_EIGHT_SUMS(as, 8), PLANISH_EIGHT_SUMS(as, 16), PLANISH_EIGHT_SUMS(as, 24), \
      PLANISH_EIGHT_SUMS(as, 32), PLANISH_EIGHT_SUMS(as, 40), PLANISH_EIGHT_SUMS(as, 48), PLANISH_EIGHT_SUMS(as, 56)
// The other 64 of 128.
#define PLANISH_MORE_SUM_NAMES                                                                   \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define PLANISH_MORE_SUMS(as)                                                                                     \
  PLANISH_EIGHT_SUMS(as, 64), PLANISH_EIGHT_SUMS(as, 72), PLANISH_EIGHT_SUMS(as, 80), PLANISH_EIGHT_SUMS(as, 88), \
      PLANISH_EIGHT_SUMS(as, 96), PLANISH_EIGHT_SUMS(as, 104), PLANISH_EIGHT_SUMS(as, 112),                       \
      PLANISH_EIGHT_SUMS(as, 120)

/// d += a · b over 64 × 128 × 32 signed bytes: a warp's 16 rows of a as in multiply_bytes, and of d the same for every
/// eight columns.
PLANISH_DEVICE void multiply_group(int (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                                   bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" PLANISH_SUM_NAMES
      "}, "
      "{%64, %65, %66, %67}, %68, p;\n}"
      : PLANISH_SUMS("+r")
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}

/// The same over 64 × 16 × 32 and 64 × 64 × 32.
PLANISH_DEVICE void multiply_group(int (&d)[8], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                                   bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %13, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n16k32.s32.s8.s8 {%0, %1, %2, %3, %4, %5, %6, %7}, "
      "{%8, %9, %10, %11}, %12, p;\n}"
      : PLANISH_EIGHT_SUMS("+r", 0)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}
PLANISH_DEVICE void multiply_group(int (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                                   bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "
      "%14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, p;\n}"
      : PLANISH_EIGHT_SUMS("+r", 0), PLANISH_EIGHT_SUMS("+r", 8), PLANISH_EIGHT_SUMS("+r", 16),
        PLANISH_EIGHT_SUMS("+r", 24)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}
/// The same over 64 × 256 × 32.
PLANISH_DEVICE void multiply_group(int (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                                   bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {" PLANISH_SUM_NAMES ", " PLANISH_MORE_SUM_NAMES
      "}, "
      "{%128, %129, %130, %131}, %132, p;\n}"
      : PLANISH_SUMS("+r"), PLANISH_MORE_SUMS("+r")
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}

// For one type of 16 bits.
#define PLANISH_MULTIPLY_GROUP(name)                                                      \
  asm volatile(                                                                           \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"                                        \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " {" PLANISH_SUM_NAMES \
      "}, "                                                                               \
      "{%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"                                         \
      : PLANISH_SUMS("+f")                                                                \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0))
/// d = a · b, or with `add` d += a · b, over 64 × 128 × 16 elements of 16 bits, in float32; rows and sums as above.
PLANISH_DEVICE void multiply_group(BFloat16, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("bf16");
#endif
}
PLANISH_DEVICE void multiply_group(Half, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("f16");
#endif
}
#undef PLANISH_MULTIPLY_GROUP

// The same over 64 × 256 × 16, with 128 sums of a thread.
#define PLANISH_MULTIPLY_GROUP(name)                                                                                  \
  asm volatile(                                                                                                       \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\n"                                                                   \
      "wgmma.mma_async.sync.aligned.m64n256k16.f32." name "." name " {" PLANISH_SUM_NAMES ", " PLANISH_MORE_SUM_NAMES \
      "}, "                                                                                                           \
      "{%128, %129, %130, %131}, %132, p, 1, 1, 0;\n}"                                                                \
      : PLANISH_SUMS("+f"), PLANISH_MORE_SUMS("+f")                                                                   \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0))
PLANISH_DEVICE void multiply_group(BFloat16, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("bf16");
#endif
}
PLANISH_DEVICE void multiply_group(Half, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("f16");
#endif
}
#undef PLANISH_MULTIPLY_GROUP

// The same over 64 × 64 × 16, with 32 sums of a thread.
#define PLANISH_HALF_SUM_NAMES                                             \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PLANISH_MULTIPLY_GROUP(name)                                                            \
  asm volatile(                                                                                 \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                              \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " {" PLANISH_HALF_SUM_NAMES   \
      "}, "                                                                                     \
      "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}"                                               \
      : PLANISH_EIGHT_SUMS("+f", 0), PLANISH_EIGHT_SUMS("+f", 8), PLANISH_EIGHT_SUMS("+f", 16), \
        PLANISH_EIGHT_SUMS("+f", 24)                                                            \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0))
PLANISH_DEVICE void multiply_group(BFloat16, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("bf16");
#endif
}
PLANISH_DEVICE void multiply_group(Half, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  PLANISH_MULTIPLY_GROUP("f16");
#endif
}
#undef PLANISH_MULTIPLY_GROUP
#undef PLANISH_HALF_SUM_NAMES
#undef PLANISH_MORE_SUMS
#undef PLANISH_MORE_SUM_NAMES
#undef PLANISH_SUMS
#undef PLANISH_EIGHT_SUMS
#undef PLANISH_SUM_NAMES

#else

void publish_to_products() noexcept;
void begin_products() noexcept;
void commit_products() noexcept;
void wait_products_until(int pending) noexcept;
template <int Pending>
void wait_products() noexcept {
  wait_products_until(Pending);
}
template <int Registers>
void settle(int (&)[Registers]) noexcept {}
inline void settle(int&) noexcept {}
template <int Registers>
void settle(std::uint32_t (&)[Registers]) noexcept {}
template <int Registers>
void settle(float (&)[Registers]) noexcept {}
template <int Steps>
void settle(std::uint32_t (&)[Steps][4]) noexcept {}
void multiply_group(int (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept;
void multiply_group(int (&d)[8], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept;
void multiply_group(int (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept;
void multiply_group(int (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte, bool add) noexcept;
void multiply_group(BFloat16, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(Half, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(BFloat16, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(Half, float (&d)[128], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(BFloat16, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(Half, float (&d)[32], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;

#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
