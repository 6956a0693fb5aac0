#pragma once
// Codes to 16-bit floats in registers, and the few instructions of attention beyond warp.cuh; where the CUDA compiler
// is absent they are made of those that the emulator has.
#include <cmath>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// The same number in both halves of a word.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr std::uint32_t half_pair(float value) noexcept {
  return Half::from_float(value).bits * 0x10001u;
}

#if defined(__CUDACC__)

/// (word & mask) | bits in one instruction: compilers make two of it where both are constants.
PLANISH_DEVICE std::uint32_t masked_over(std::uint32_t word, std::uint32_t mask, std::uint32_t bits) noexcept {
  std::uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(word), "r"(mask), "r"(bits));
  return d;
}

/// a · b + c of two pairs of halves, each rounded once.
PLANISH_DEVICE std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

/// An 8 × 8 matrix of 16-bit elements across a warp, transposed: lane l has elements 2 (l % 4) and 2 (l % 4) + 1 of row
/// l / 4 before and after.
PLANISH_DEVICE std::uint32_t transpose_matrix(std::uint32_t pair) noexcept {
  std::uint32_t d;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(d) : "r"(pair));
  return d;
}

/// 2^x, relative error below 2^-21; 0 for -infinity, NaN for NaN.
PLANISH_DEVICE float quick_power_of_two(float x) noexcept {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}

/// Whether a condition holds in any lane of the warp.
PLANISH_DEVICE bool any_lane(bool condition) noexcept { return __any_sync(0xffffffffu, condition) != 0; }

/// 16 bytes that other blocks wrote: read past the first-level cache.
PLANISH_DEVICE Vector16 load_shared_vector(const void* place) noexcept {
  const uint4 v = __ldcg(static_cast<const uint4*>(place));
  return {{v.x, v.y, v.z, v.w}};
}

#else

inline std::uint32_t masked_over(std::uint32_t word, std::uint32_t mask, std::uint32_t bits) noexcept {
  return (word & mask) | bits;
}

inline std::uint32_t multiply_add_pair(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t d = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [&](std::uint32_t word) {
      return double{Half{static_cast<std::uint16_t>(word >> shift)}.to_float()};
    };
    d |= std::uint32_t{Half::from_float(static_cast<float>(half(a) * half(b) + half(c))).bits} << shift;
  }
  return d;
}

inline std::uint32_t transpose_matrix(std::uint32_t pair) noexcept {
  const int lane = thread_index() % warp_size, shift = lane / 4 % 2 * 16;
  std::uint32_t d = 0;
  for (int h = 0; h < 2; ++h) {
    const int from = (2 * (lane % 4) + h) * 4 + lane / 8;
    d |= (static_cast<std::uint32_t>(broadcast(static_cast<int>(pair), from)) >> shift & 0xffffu) << (16 * h);
  }
  return d;
}

inline float quick_power_of_two(float x) noexcept { return std::exp2(x); }

inline bool any_lane(bool condition) noexcept {
  int any = condition ? 1 : 0;
  for (int mask = 16; mask > 0; mask /= 2) any |= shuffle_xor(any, mask);
  return any != 0;
}

inline Vector16 load_shared_vector(const void* place) noexcept { return *static_cast<const Vector16*>(place); }

#endif

/// Numbers become halves over a power of two, so that the largest lies in [half_reach / 2, half_reach): what is lost of
/// the small ones is below 2^-38 of it.
inline constexpr float half_reach = 0x1p14f;

/// The power of two for a largest magnitude that is not negative, and its inverse; both are normal numbers.
struct HalfUnit {
  float unit, inverse;

  PLANISH_DEVICE explicit HalfUnit(float largest) noexcept {
    std::uint32_t exponent = __builtin_bit_cast(std::uint32_t, largest) >> 23 & 255u;
    exponent = exponent < 14 ? 1 : exponent > 253 ? 240 : exponent - 13;
    unit = __builtin_bit_cast(float, exponent << 23);
    inverse = __builtin_bit_cast(float, (254 - exponent) << 23);
  }
};

/// Field `Field` of the four bytes of a word, `Width` bits each, less `centre`, as halves, exactly: `first` holds those
/// of bytes 0 and 2, `second` those of bytes 1 and 3. A code behind the bits of 1024 is 1024 + code · 2^(Width ·
/// Field); one multiply-add brings it down.
template <int Width, int Field>
PLANISH_DEVICE void expand_codes(std::uint32_t word, std::uint32_t& first, std::uint32_t& second,
                                 int centre = 1 << (Width - 1)) noexcept {
  constexpr std::uint32_t mask = ((1u << Width) - 1u) * 0x00010001u << (Width * Field);
  constexpr float factor = 1.0f / static_cast<float>(1 << (Width * Field));
  const std::uint32_t offset = half_pair(-1024.0f * factor - static_cast<float>(centre));
  first = multiply_add_pair(masked_over(word, mask, 0x64006400u), half_pair(factor), offset);
  second = multiply_add_pair(masked_over(word >> 8, mask, 0x64006400u), half_pair(factor), offset);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
