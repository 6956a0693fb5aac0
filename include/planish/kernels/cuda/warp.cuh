#pragma once
// What a kernel asks of the machine: its place, barriers, copies in the background, matrix products of a warp. One
// function per instruction, so that kernels are plain C++. Where the CUDA compiler is absent these are declarations:
// a program that emulates a thread block (tests/cuda/emulator) defines them and runs the kernels as they stand.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>

#if defined(__CUDACC__)
#define PLANISH_DEVICE __device__ __forceinline__
/// A kernel of at most so many threads a block; a multiprocessor holds `blocks` of them, or as many as it has room for.
#define PLANISH_KERNEL(threads, blocks) \
  __global__ void __launch_bounds__(threads, ::planish::kernels::cuda::resident_blocks(threads, blocks))
#define PLANISH_UNROLL _Pragma("unroll")
#define PLANISH_NO_UNROLL _Pragma("unroll 1")
#else
#define PLANISH_DEVICE inline
#define PLANISH_KERNEL(threads, blocks) void
#define PLANISH_UNROLL
#define PLANISH_NO_UNROLL
#endif

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Sixteen bytes: what one lane moves at a time.
struct alignas(16) Vector16 {
  std::uint32_t words[4];
};
/// Eight and four bytes that are stored at once.
struct alignas(8) Vector8 {
  std::uint32_t words[2];
};

inline constexpr int warp_size = 32;

/// Threads and blocks that a multiprocessor of the architecture in compilation has room for (CUDA Programming Guide,
/// compute capabilities): most in data centres.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000 || \
    __CUDA_ARCH__ == 1030
inline constexpr int resident_threads = 2048, most_resident_blocks = 32;
#else
inline constexpr int resident_threads = 1536, most_resident_blocks = __CUDA_ARCH__ < 890 ? 16 : 24;
#endif
[[nodiscard]] constexpr int resident_blocks(int threads, int blocks) noexcept {
  const int most =
      resident_threads / threads < most_resident_blocks ? resident_threads / threads : most_resident_blocks;
  return blocks < most ? blocks : most;
}

#if defined(__CUDACC__)

PLANISH_DEVICE int thread_index() noexcept { return static_cast<int>(threadIdx.x); }
PLANISH_DEVICE int block_index() noexcept { return static_cast<int>(blockIdx.x); }
PLANISH_DEVICE int block_count() noexcept { return static_cast<int>(gridDim.x); }

/// The block's dynamic shared memory.
PLANISH_DEVICE unsigned char* shared_memory() noexcept {
  extern __shared__ __align__(128) unsigned char planish_shared_memory[];
  return planish_shared_memory;
}

PLANISH_DEVICE void block_barrier() noexcept { __syncthreads(); }
PLANISH_DEVICE void warp_barrier() noexcept { __syncwarp(); }
/// Among `threads` threads of the block, whole warps, that name the same barrier 1 … 15.
PLANISH_DEVICE void group_barrier(int barrier, int threads) noexcept {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
PLANISH_DEVICE void device_fence() noexcept { __threadfence(); }

PLANISH_DEVICE float shuffle_xor(float value, int mask) noexcept { return __shfl_xor_sync(0xffffffffu, value, mask); }
PLANISH_DEVICE int shuffle_xor(int value, int mask) noexcept { return __shfl_xor_sync(0xffffffffu, value, mask); }
PLANISH_DEVICE int broadcast(int value, int lane) noexcept { return __shfl_sync(0xffffffffu, value, lane); }

PLANISH_DEVICE int atomic_add(std::int32_t* place, int value) noexcept { return atomicAdd(place, value); }

/// A word that other blocks write: read past the first-level cache.
PLANISH_DEVICE std::int32_t load_shared_word(const std::int32_t* place) noexcept { return __ldcg(place); }

/// Read once and never again: kept out of the first-level cache.
PLANISH_DEVICE Vector16 load_streaming(const void* global) noexcept {
  Vector16 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.words[0]), "=r"(v.words[1]), "=r"(v.words[2]), "=r"(v.words[3])
               : "l"(global));
  return v;
}

/// 16 bytes from global to shared memory in the background; only the first `bytes` are read, the others are zero.
PLANISH_DEVICE void copy_async_16(void* shared, const void* global, int bytes) noexcept {
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(shared))),
               "l"(global), "r"(bytes)
               : "memory");
}
/// Closes the group of this thread's copies so far.
PLANISH_DEVICE void commit_copies() noexcept { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Returns once at most `Pending` of this thread's groups are still under way.
template <int Pending>
PLANISH_DEVICE void wait_copies() noexcept {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

/// Four 8 × 8 matrices of 16-bit elements from rows of 16 bytes, transposed: lane l gives the address of row l % 8 of
/// matrix l / 8 and gets of each matrix the elements of column l / 4 in rows 2 (l % 4) and 2 (l % 4) + 1.
PLANISH_DEVICE void load_transposed(std::uint32_t (&r)[4], const void* shared) noexcept {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))));
}

/// The same, not transposed: of each matrix the elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4.
PLANISH_DEVICE void load_rows(std::uint32_t (&r)[4], const void* shared) noexcept {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))));
}

/// d += a · b over 16 × 8 × 32 signed bytes, exact; fragments as in matrix_fragments.cuh.
PLANISH_DEVICE void multiply_bytes(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                   std::uint32_t b1) noexcept {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// d += a · b over 16 × 8 × 16 elements of 16 bits, in float32.
PLANISH_DEVICE void multiply_floats(BFloat16, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) noexcept {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
PLANISH_DEVICE void multiply_floats(Half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) noexcept {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Two floats rounded to nearest even, the first in the low half.
PLANISH_DEVICE std::uint32_t round_pair(BFloat16, float low, float high) noexcept {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
PLANISH_DEVICE std::uint32_t round_pair(Half, float low, float high) noexcept {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// 16 bits widened, exactly.
PLANISH_DEVICE float widen(BFloat16 value) noexcept { return __uint_as_float(std::uint32_t{value.bits} << 16); }
PLANISH_DEVICE float widen(Half value) noexcept {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
}

/// The lesser and the greater of two numbers; of NaN and a number, the number.
PLANISH_DEVICE float least(float a, float b) noexcept { return fminf(a, b); }
PLANISH_DEVICE float greatest(float a, float b) noexcept { return fmaxf(a, b); }

/// The same, but NaN as soon as one of them is.
PLANISH_DEVICE float least_or_nan(float a, float b) noexcept {
  float result;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}
PLANISH_DEVICE float greatest_or_nan(float a, float b) noexcept {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

/// 1 / x within an ulp.
PLANISH_DEVICE float quick_reciprocal(float x) noexcept {
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(reciprocal) : "f"(x));
  return reciprocal;
}

/// The bytes of four words' lowest bytes, first word lowest.
PLANISH_DEVICE std::uint32_t low_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) noexcept {
  return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}
/// Sum of four signed bytes, added to `sum`.
PLANISH_DEVICE int add_bytes(std::uint32_t bytes, int sum) noexcept {
  return __dp4a(static_cast<int>(bytes), 0x01010101, sum);
}

#else

int thread_index() noexcept;
int block_index() noexcept;
int block_count() noexcept;
unsigned char* shared_memory() noexcept;
void block_barrier() noexcept;
void warp_barrier() noexcept;
void group_barrier(int barrier, int threads) noexcept;
void device_fence() noexcept;
float shuffle_xor(float value, int mask) noexcept;
int shuffle_xor(int value, int mask) noexcept;
int broadcast(int value, int lane) noexcept;
int atomic_add(std::int32_t* place, int value) noexcept;
std::int32_t load_shared_word(const std::int32_t* place) noexcept;
Vector16 load_streaming(const void* global) noexcept;
void copy_async_16(void* shared, const void* global, int bytes) noexcept;
void commit_copies() noexcept;
void wait_copies_until(int pending) noexcept;
template <int Pending>
void wait_copies() noexcept {
  wait_copies_until(Pending);
}
void load_transposed(std::uint32_t (&r)[4], const void* shared) noexcept;
void load_rows(std::uint32_t (&r)[4], const void* shared) noexcept;
void multiply_bytes(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) noexcept;
void multiply_floats(BFloat16, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) noexcept;
void multiply_floats(Half, float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) noexcept;
std::uint32_t round_pair(BFloat16, float low, float high) noexcept;
std::uint32_t round_pair(Half, float low, float high) noexcept;
inline float widen(BFloat16 value) noexcept { return value.to_float(); }
inline float widen(Half value) noexcept { return value.to_float(); }
inline float least(float a, float b) noexcept { return a < b || b != b ? a : b; }
inline float greatest(float a, float b) noexcept { return a > b || b != b ? a : b; }
inline float quick_reciprocal(float x) noexcept { return 1.0f / x; }
inline float least_or_nan(float a, float b) noexcept { return a < b || a != a ? a : b; }
inline float greatest_or_nan(float a, float b) noexcept { return a > b || a != a ? a : b; }
std::uint32_t low_bytes(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) noexcept;
int add_bytes(std::uint32_t bytes, int sum) noexcept;

#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
