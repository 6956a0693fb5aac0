#pragma once
// Products of a warpgroup (wgmma, sm_90a) of 16-bit floats over 64 rows from registers and 32, 64, 80, 128 or 224
// columns from shared memory, whose rows of 128 bytes have their 16-byte pieces exchanged: piece p of row r lies at p ^
// r % 8.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/kernels/cuda/warpgroup.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Offset of byte `byte` (0 … 127) of such a row.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int exchanged_offset(int row, int byte) noexcept {
  return row * 128 + ((byte / 16 ^ row % 8) * 16 | byte % 16);
}

#if defined(__CUDACC__)

/// Where the products find columns whose k-neighbours lie side by side as in product_rows, or (`across`) rows of k with
/// 64 columns each, further columns `chunk_bytes` on.
PLANISH_DEVICE std::uint64_t product_columns(const unsigned char* shared, int chunk_bytes) noexcept {
  const auto address = static_cast<std::uint64_t>(__cvta_generic_to_shared(shared));
  constexpr std::uint64_t eight_rows = 1024 / 16, exchanged_in_128 = std::uint64_t{1} << 62;
  return (address & 0x3ffffu) >> 4 | static_cast<std::uint64_t>(chunk_bytes / 16) << 16 | eight_rows << 32 |
         exchanged_in_128;
}

// clang-format off
#define PLANISH_EIGHT(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define PLANISH_COLUMNS_32(name, transposed) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %21, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n32k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
      "}, {%16, %17, %18, %19}, %20, p, 1, 1, " transposed ";\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_SHARED_COLUMNS_64(name) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31" \
      "}, %32, %33, p, 1, 1, 0, 1;\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24) \
      : "l"(left), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_SHARED_COLUMNS_128(name) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63" \
      "}, %64, %65, p, 1, 1, 0, 1;\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24), PLANISH_EIGHT(32), PLANISH_EIGHT(40), PLANISH_EIGHT(48), PLANISH_EIGHT(56) \
      : "l"(left), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_COLUMNS_64(name, transposed) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n64k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31" \
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, " transposed ";\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_COLUMNS_80(name, transposed) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %45, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n80k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39" \
      "}, {%40, %41, %42, %43}, %44, p, 1, 1, " transposed ";\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24), PLANISH_EIGHT(32) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_COLUMNS_128(name, transposed) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n128k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63" \
      "}, {%64, %65, %66, %67}, %68, p, 1, 1, " transposed ";\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24), PLANISH_EIGHT(32), PLANISH_EIGHT(40), PLANISH_EIGHT(48), PLANISH_EIGHT(56) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where), "r"(add ? 1 : 0))
#define PLANISH_COLUMNS_224(name, transposed) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %117, 0;\n" \
      "wgmma.mma_async.sync.aligned.m64n224k16.f32." name "." name " {" \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
      "}, {%112, %113, %114, %115}, %116, p, 1, 1, " transposed ";\n}" \
      : PLANISH_EIGHT(0), PLANISH_EIGHT(8), PLANISH_EIGHT(16), PLANISH_EIGHT(24), PLANISH_EIGHT(32), PLANISH_EIGHT(40), PLANISH_EIGHT(48), \
        PLANISH_EIGHT(56), PLANISH_EIGHT(64), PLANISH_EIGHT(72), PLANISH_EIGHT(80), PLANISH_EIGHT(88), PLANISH_EIGHT(96), PLANISH_EIGHT(104) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(where), "r"(add ? 1 : 0))
// clang-format on

template <class E, bool Transposed, int Registers>
PLANISH_DEVICE void multiply_columns(float (&d)[Registers], const std::uint32_t (&a)[4], std::uint64_t where,
                                     bool add) noexcept {
  static_assert(Registers == 16 || Registers == 112 || Registers == 32 || Registers == 40 || Registers == 64);
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
#define PLANISH_COLUMNS(n)                                 \
  if constexpr (std::is_same_v<E, BFloat16> && Transposed) \
    PLANISH_COLUMNS_##n("bf16", "1");                      \
  else if constexpr (std::is_same_v<E, BFloat16>)          \
    PLANISH_COLUMNS_##n("bf16", "0");                      \
  else if constexpr (Transposed)                           \
    PLANISH_COLUMNS_##n("f16", "1");                       \
  else                                                     \
    PLANISH_COLUMNS_##n("f16", "0")
  if constexpr (Registers == 16) {
    PLANISH_COLUMNS(32);
  } else if constexpr (Registers == 112) {
    PLANISH_COLUMNS(224);
  } else if constexpr (Registers == 32) {
    PLANISH_COLUMNS(64);
  } else if constexpr (Registers == 40) {
    PLANISH_COLUMNS(80);
  } else {
    PLANISH_COLUMNS(128);
  }
#undef PLANISH_COLUMNS
#endif
}

/// The same with the 64 rows of a in shared memory too, as `product_rows` describes them, and b across.
template <class E, int Registers>
PLANISH_DEVICE void multiply_shared_columns(float (&d)[Registers], std::uint64_t left, std::uint64_t where,
                                            bool add) noexcept {
  static_assert(Registers == 32 || Registers == 64);
#if defined(PLANISH_HAS_GROUP_PRODUCTS)
  if constexpr (Registers == 32 && std::is_same_v<E, BFloat16>)
    PLANISH_SHARED_COLUMNS_64("bf16");
  else if constexpr (Registers == 32)
    PLANISH_SHARED_COLUMNS_64("f16");
  else if constexpr (std::is_same_v<E, BFloat16>)
    PLANISH_SHARED_COLUMNS_128("bf16");
  else
    PLANISH_SHARED_COLUMNS_128("f16");
#endif
}
#undef PLANISH_SHARED_COLUMNS_64
#undef PLANISH_SHARED_COLUMNS_128
#undef PLANISH_EIGHT
#undef PLANISH_COLUMNS_32
#undef PLANISH_COLUMNS_224
#undef PLANISH_COLUMNS_64
#undef PLANISH_COLUMNS_80
#undef PLANISH_COLUMNS_128

/// d = a · b, or with `add` d += a · b, over 16 k: rows of k lie at `shared`, which may begin inside a row, as 64
/// columns each, `chunk_bytes` on the next 64; sums of a warp's 16 rows as of multiply_floats for every eight columns.
template <class E, int Registers>
PLANISH_DEVICE void multiply_across(float (&d)[Registers], const std::uint32_t (&a)[4], const unsigned char* shared,
                                    int chunk_bytes, bool add) noexcept {
  multiply_columns<E, true>(d, a, product_columns(shared, chunk_bytes), add);
}
/// The same with the 64 rows of a from `left` on, rows of 128 bytes with their k from `byte` on.
template <class E, int Registers>
PLANISH_DEVICE void multiply_shared_across(float (&d)[Registers], const unsigned char* left, int byte,
                                           const unsigned char* shared, int chunk_bytes, bool add) noexcept {
  multiply_shared_columns<E>(d, product_rows(left, byte), product_columns(shared, chunk_bytes), add);
}
/// The same of 32 columns, whose rows of 64 bytes have piece p at p ^ r / 2 % 4, as a narrow box comes.
template <class E>
PLANISH_DEVICE void multiply_across_narrow(float (&d)[16], const std::uint32_t (&a)[4], const unsigned char* shared,
                                           bool add) noexcept {
  const auto address = static_cast<std::uint64_t>(__cvta_generic_to_shared(shared));
  constexpr std::uint64_t eight_rows = 512 / 16, exchanged_in_64 = std::uint64_t{2} << 62;
  multiply_columns<E, true>(d, a, (address & 0x3ffffu) >> 4 | eight_rows << 16 | eight_rows << 32 | exchanged_in_64,
                            add);
}
/// The same, but a row of `shared` is a column of b, with its k from `byte` (0, 32, 64, 96) on.
template <class E, int Registers>
PLANISH_DEVICE void multiply_along(float (&d)[Registers], const std::uint32_t (&a)[4], const unsigned char* shared,
                                   int byte, bool add) noexcept {
  multiply_columns<E, false>(d, a, product_rows(shared, byte), add);
}

#else

/// By the products of a warp, so that a program that emulates those needs no more.
template <class E, int Registers, class Word>
void multiply_by_warps(float (&d)[Registers], const std::uint32_t (&a)[4], bool add, const Word& word) noexcept {
  for (int tile = 0; tile < Registers / 4; ++tile) {
    float sums[4] = {};
    for (int r = 0; r < 4; ++r) sums[r] = add ? d[4 * tile + r] : 0.0f;
    multiply_floats(E{}, sums, a, word(8 * tile + thread_index() % warp_size / 4, 0),
                    word(8 * tile + thread_index() % warp_size / 4, 1));
    for (int r = 0; r < 4; ++r) d[4 * tile + r] = sums[r];
  }
}
template <class E, int Registers>
void multiply_across(float (&d)[Registers], const std::uint32_t (&a)[4], const unsigned char* shared, int chunk_bytes,
                     bool add) noexcept {
  const int byte = static_cast<int>(reinterpret_cast<std::uintptr_t>(shared) % 128);
  multiply_by_warps<E>(d, a, add, [=](int column, int r) {
    std::uint32_t pair = 0;
    for (int h = 0; h < 2; ++h) {
      const int k = 8 * r + 2 * (thread_index() % 4) + h;
      const unsigned char* at = shared - byte + column / 64 * chunk_bytes + exchanged_offset(k, byte + column % 64 * 2);
      pair |= std::uint32_t{*reinterpret_cast<const std::uint16_t*>(at)} << (16 * h);
    }
    return pair;
  });
}
template <class E, int Registers>
void multiply_shared_across(float (&d)[Registers], const unsigned char* left, int byte, const unsigned char* shared,
                            int chunk_bytes, bool add) noexcept {
  std::uint32_t a[4];
  const int lane = thread_index() % warp_size, first = thread_index() % group_size / warp_size * 16;
  for (int r = 0; r < 4; ++r)
    a[r] = *reinterpret_cast<const std::uint32_t*>(
        left + exchanged_offset(first + lane / 4 + 8 * (r % 2), byte + 16 * (r / 2) + 4 * (lane % 4)));
  multiply_across<E>(d, a, shared, chunk_bytes, add);
}
template <class E>
void multiply_across_narrow(float (&d)[16], const std::uint32_t (&a)[4], const unsigned char* shared,
                            bool add) noexcept {
  multiply_by_warps<E>(d, a, add, [=](int column, int r) {
    std::uint32_t pair = 0;
    for (int h = 0; h < 2; ++h) {
      const int k = 8 * r + 2 * (thread_index() % 4) + h;
      const unsigned char* at = shared + k * 64 + ((column / 8 ^ k / 2 % 4) * 16 + column % 8 * 2);
      pair |= std::uint32_t{*reinterpret_cast<const std::uint16_t*>(at)} << (16 * h);
    }
    return pair;
  });
}
template <class E, int Registers>
void multiply_along(float (&d)[Registers], const std::uint32_t (&a)[4], const unsigned char* shared, int byte,
                    bool add) noexcept {
  multiply_by_warps<E>(d, a, add, [=](int column, int r) {
    return *reinterpret_cast<const std::uint32_t*>(shared +
                                                   exchanged_offset(column, byte + 16 * r + 4 * (thread_index() % 4)));
  });
}

#endif

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
