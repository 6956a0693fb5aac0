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
  const auto address = static_cast<std::uint64_t>(__cvta_generic_to_shared(shared)) + static_cast<unsigned>(byte);
  constexpr std::uint64_t eight_rows = 1024 / 16, exchanged_in_128 = std::uint64_t{1} << 62;
  return (address & 0x3ffffu) >> 4 | std::uint64_t{1} << 16 | eight_rows << 32 | exchanged_in_128;
}

/// The same of one word: what is computed from it is computed after this.
PLANISH_DEVICE void settle(int& word) noexcept { asm volatile("" : "+r"(word)::"memory"); }
template <int Registers>
PLANISH_DEVICE void settle(float (&d)[Registers]) noexcept {
  PLANISH_UNROLL
  for (int i = 0; i < Registers; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

/// d += a · b over 64 × 128 × 32 signed bytes: a warp's 16 rows of a as in multiply_bytes, and of d the same for every
/// eight columns.
PLANISH_DEVICE void multiply_group(int (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, p;\n}"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]), "+r"(d[8]),
        "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]), "+r"(d[16]),
        "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]), "+r"(d[23]), "+r"(d[24]),
        "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]), "+r"(d[30]), "+r"(d[31]), "+r"(d[32]),
        "+r"(d[33]), "+r"(d[34]), "+r"(d[35]), "+r"(d[36]), "+r"(d[37]), "+r"(d[38]), "+r"(d[39]), "+r"(d[40]),
        "+r"(d[41]), "+r"(d[42]), "+r"(d[43]), "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47]), "+r"(d[48]),
        "+r"(d[49]), "+r"(d[50]), "+r"(d[51]), "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55]), "+r"(d[56]),
        "+r"(d[57]), "+r"(d[58]), "+r"(d[59]), "+r"(d[60]), "+r"(d[61]), "+r"(d[62]), "+r"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)));
#endif
}

/// d = a · b, or with `add` d += a · b, over 64 × 128 × 16 elements of 16 bits, in float32; rows and sums as above.
PLANISH_DEVICE void multiply_group(BFloat16, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
        "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),
        "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
        "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]),
        "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]),
        "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
        "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]),
        "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}
PLANISH_DEVICE void multiply_group(Half, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows,
                                   int byte, bool add) noexcept {
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, p, 1, 1, 0;\n}"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
        "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),
        "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
        "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]),
        "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]),
        "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]),
        "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]),
        "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(product_rows(rows, byte)), "r"(add ? 1 : 0));
#endif
}

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
void settle(float (&)[Registers]) noexcept {}
void multiply_group(int (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte) noexcept;
void multiply_group(BFloat16, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;
void multiply_group(Half, float (&d)[64], const std::uint32_t (&a)[4], const unsigned char* rows, int byte,
                    bool add) noexcept;

#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
