#pragma once
// The one door to xsimd: every float loop of this backend is written with FloatBatch.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

// GCC 12 takes the deliberately undefined registers inside its AVX-512 intrinsics for a mistake of their callers.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#if defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#error "planish needs a vector unit that xsimd knows: compile for SSE2, AVX2, AVX-512 or NEON"
#endif

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// As many floats as one register of the compiled-for instruction set holds.
using FloatBatch = xsimd::batch<float>;

/// As many 32-bit integers.
using IntBatch = xsimd::batch<std::int32_t>;

inline constexpr index float_lanes = static_cast<index>(FloatBatch::size);
static_assert(IntBatch::size == FloatBatch::size, "planish: int32 and float batches pair up lane by lane");

/// The bits of every lane as another type of its size. (xsimd's own takes a batch in version 8 and an element in 11.)
template <class To, class From>
[[nodiscard]] PLANISH_ALWAYS_INLINE To bits_as(xsimd::batch<From> x) noexcept {
  return To(__builtin_bit_cast(typename To::register_type, static_cast<typename xsimd::batch<From>::register_type>(x)));
}

namespace isa {
#if defined(__FMA__) || defined(__aarch64__)
/// a · b + c with one rounding. The xsimd of Debian 12 multiplies and adds, with two roundings, on AVX-512.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fused(FloatBatch a, FloatBatch b, FloatBatch c) noexcept {
#if defined(__AVX512F__)
  return FloatBatch(_mm512_fmadd_ps(a, b, c));
#else
  return xsimd::fma(a, b, c);
#endif
}
/// c − a · b with one rounding.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fused_negative(FloatBatch a, FloatBatch b, FloatBatch c) noexcept {
#if defined(__AVX512F__)
  return FloatBatch(_mm512_fnmadd_ps(a, b, c));
#elif defined(__aarch64__)  // there xsimd's has two roundings
  return FloatBatch(vfmsq_f32(c, a, b));
#else
  return xsimd::fnma(a, b, c);
#endif
}
#endif
}  // namespace isa

/// a · b + c with one rounding on every target.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fused_multiply_add(FloatBatch a, FloatBatch b, FloatBatch c) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
  return isa::fused(a, b, c);
#else
  alignas(64) float x[FloatBatch::size], y[FloatBatch::size], z[FloatBatch::size];
  a.store_aligned(x);
  b.store_aligned(y);
  c.store_aligned(z);
  for (std::size_t i = 0; i < FloatBatch::size; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return FloatBatch::load_aligned(z);
#endif
}

/// c − a · b with one rounding on every target.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch fused_negative_multiply_add(FloatBatch a, FloatBatch b,
                                                                           FloatBatch c) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
  return isa::fused_negative(a, b, c);
#else
  return fused_multiply_add(-a, b, c);
#endif
}

/// Term of a long sum, as core's multiply_add: one rounding where the target has the instruction, else two.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch multiply_add(FloatBatch a, FloatBatch b, FloatBatch c) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
  return isa::fused(a, b, c);
#else
  return a * b + c;
#endif
}

/// a / b, correctly rounded. On AArch64 xsimd's is not.
[[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch divided(FloatBatch a, FloatBatch b) noexcept {
#if defined(__aarch64__)
  return FloatBatch(vdivq_f32(a, b));
#else
  return a / b;
#endif
}

namespace detail {
/// Lane i of the result is lane i + By of x, around its end.
template <int By, class T, int... Lanes>
[[nodiscard]] PLANISH_ALWAYS_INLINE xsimd::batch<T> turned_lanes(xsimd::batch<T> x,
                                                                 std::integer_sequence<int, Lanes...>) noexcept {
  constexpr int count = sizeof...(Lanes);
  using Register = typename xsimd::batch<T>::register_type;
  using Vector [[gnu::vector_size(count * sizeof(T))]] = T;
  const auto lanes = std::bit_cast<Vector>(static_cast<Register>(x));
  return xsimd::batch<T>(std::bit_cast<Register>(__builtin_shufflevector(lanes, lanes, ((Lanes + By) % count)...)));
}
}  // namespace detail

/// What an associative and commutative operation on batches makes of the even lanes and of the odd ones.
template <class T, class Operation, int Distance = static_cast<int>(xsimd::batch<T>::size) / 2>
[[nodiscard]] PLANISH_ALWAYS_INLINE std::array<T, 2> fold_to_pair(xsimd::batch<T> x, Operation operation) noexcept {
  if constexpr (Distance == 1) {
    return {x.get(0), x.get(1)};
  } else {
    constexpr std::make_integer_sequence<int, static_cast<int>(xsimd::batch<T>::size)> all{};
    return fold_to_pair<T, Operation, Distance / 2>(operation(x, detail::turned_lanes<Distance>(x, all)), operation);
  }
}

/// What an associative and commutative operation on batches, their minimum say, makes of all lanes.
template <class T, class Operation, int Distance = static_cast<int>(xsimd::batch<T>::size) / 2>
[[nodiscard]] PLANISH_ALWAYS_INLINE T fold_register(xsimd::batch<T> x, Operation operation) noexcept {
  if constexpr (Distance == 0) {
    return x.get(0);
  } else {
    constexpr std::make_integer_sequence<int, static_cast<int>(xsimd::batch<T>::size)> all{};
    return fold_register<T, Operation, Distance / 2>(operation(x, detail::turned_lanes<Distance>(x, all)), operation);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
