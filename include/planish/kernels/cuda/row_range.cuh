#pragma once
// Least and greatest value of a row by comparisons of bits: two or four values an instruction on Hopper, where
// comparisons of floats take one each at half rate.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

#if defined(__CUDACC__)

PLANISH_DEVICE int greatest_of(int a, int b, int c) noexcept { return __vimax3_s32(a, b, c); }
PLANISH_DEVICE std::uint32_t greatest_of(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  return __vimax3_u32(a, b, c);
}
/// Of the two halves of words, each by itself.
PLANISH_DEVICE std::uint32_t greatest_signed_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  return __vimax3_s16x2(a, b, c);
}
PLANISH_DEVICE std::uint32_t greatest_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  return __vimax3_u16x2(a, b, c);
}
/// Of all lanes of a warp, in each.
PLANISH_DEVICE std::uint32_t greatest_of_warp(std::uint32_t value) noexcept {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(0xffffffffu, value);
#else
  PLANISH_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) value = max(value, __shfl_xor_sync(0xffffffffu, value, mask));
  return value;
#endif
}

#else

inline int greatest_of(int a, int b, int c) noexcept {
  const int ab = a > b ? a : b;
  return ab > c ? ab : c;
}
inline std::uint32_t greatest_of(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  const std::uint32_t ab = a > b ? a : b;
  return ab > c ? ab : c;
}
inline std::uint32_t greatest_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  return greatest_of(a >> 16, b >> 16, c >> 16) << 16 | greatest_of(a & 0xffffu, b & 0xffffu, c & 0xffffu);
}
inline std::uint32_t greatest_signed_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  constexpr std::uint32_t signs = 0x80008000u;
  return greatest_pairs(a ^ signs, b ^ signs, c ^ signs) ^ signs;
}
inline std::uint32_t greatest_of_warp(std::uint32_t value) noexcept {
  for (int mask = 16; mask > 0; mask /= 2)
    value = greatest_of(value, static_cast<std::uint32_t>(shuffle_xor(static_cast<int>(value), mask)), 0u);
  return value;
}

#endif

/// Bits of the greatest positive and of the least negative float32 so far; 0 where there was none. As signed numbers,
/// positive floats are in their order and beyond all negative ones; as unsigned numbers, negative floats are in the
/// opposite of theirs and beyond all positive ones. NaN is beyond infinity.
struct RangeBits {
  std::uint32_t highest = 0, lowest = 0;

  PLANISH_DEVICE void add(float a, float b) noexcept {
    highest = static_cast<std::uint32_t>(
        greatest_of(static_cast<int>(highest), __builtin_bit_cast(int, a), __builtin_bit_cast(int, b)));
    lowest = greatest_of(lowest, __builtin_bit_cast(std::uint32_t, a), __builtin_bit_cast(std::uint32_t, b));
  }
  PLANISH_DEVICE void join(std::uint32_t their_highest, std::uint32_t their_lowest) noexcept {
    highest = greatest_of(highest, their_highest, 0u);
    lowest = greatest_of(lowest, their_lowest, 0u);
  }
  /// Of all lanes, in each.
  PLANISH_DEVICE void join_warp() noexcept {
    highest = greatest_of_warp(highest);  // never negative
    lowest = greatest_of_warp(lowest);
  }
  [[nodiscard]] PLANISH_DEVICE bool finite() const noexcept { return highest < 0x7f800000u && lowest < 0xff800000u; }
  [[nodiscard]] PLANISH_DEVICE ValueRange values() const noexcept {
    return {lowest > 0x80000000u ? __builtin_bit_cast(float, lowest) : 0.0f, __builtin_bit_cast(float, highest)};
  }
};

/// The same of 16-bit floats, two to a word.
struct PairBits {
  std::uint32_t highest = 0, lowest = 0;

  PLANISH_DEVICE void add(std::uint32_t a, std::uint32_t b) noexcept {
    highest = greatest_signed_pairs(highest, a, b);
    lowest = greatest_pairs(lowest, a, b);
  }
  /// Of all lanes, in each, as floats of 32 bits.
  template <class E>
  [[nodiscard]] PLANISH_DEVICE RangeBits joined() const noexcept {
    const std::uint32_t high = greatest_of_warp(greatest_of(highest >> 16, highest & 0xffffu, 0u));
    const std::uint32_t low = greatest_of_warp(greatest_of(lowest >> 16, lowest & 0xffffu, 0u));
    RangeBits joined;
    joined.highest = __builtin_bit_cast(std::uint32_t, widen(E{static_cast<std::uint16_t>(high)}));
    if (low >= 0x8000u) joined.lowest = __builtin_bit_cast(std::uint32_t, widen(E{static_cast<std::uint16_t>(low)}));
    return joined;
  }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
