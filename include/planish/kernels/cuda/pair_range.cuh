#pragma once
// Least and greatest of 16-bit floats two at a time: half the instructions, and exact, for comparing rounds nothing.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

#if defined(__CUDACC__)

/// Of each half of two words; NaN as soon as one of them is.
PLANISH_DEVICE std::uint32_t least_pair_or_nan(BFloat16, std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t d;
  asm("min.NaN.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
PLANISH_DEVICE std::uint32_t least_pair_or_nan(Half, std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t d;
  asm("min.NaN.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
PLANISH_DEVICE std::uint32_t greatest_pair_or_nan(BFloat16, std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t d;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
PLANISH_DEVICE std::uint32_t greatest_pair_or_nan(Half, std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t d;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}

#else

namespace detail {
template <class E>
std::uint32_t choose_pair(std::uint32_t a, std::uint32_t b, bool least) noexcept {
  std::uint32_t d = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto x = static_cast<std::uint16_t>(a >> shift), y = static_cast<std::uint16_t>(b >> shift);
    const float p = widen(E{x}), q = widen(E{y});
    const bool first = p != p || (q == q && (least ? p < q : p > q));
    d |= std::uint32_t{first ? x : y} << shift;
  }
  return d;
}
}  // namespace detail
template <class E>
std::uint32_t least_pair_or_nan(E, std::uint32_t a, std::uint32_t b) noexcept {
  return detail::choose_pair<E>(a, b, true);
}
template <class E>
std::uint32_t greatest_pair_or_nan(E, std::uint32_t a, std::uint32_t b) noexcept {
  return detail::choose_pair<E>(a, b, false);
}

#endif

/// RangeSoFar of pairs.
template <class E>
struct PairRangeSoFar {
  std::uint32_t lowest = 0, highest = 0;

  PLANISH_DEVICE void add(const Vector16& pairs) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) {
      lowest = least_pair_or_nan(E{}, lowest, pairs.words[i]);
      highest = greatest_pair_or_nan(E{}, highest, pairs.words[i]);
    }
  }
  [[nodiscard]] PLANISH_DEVICE RangeSoFar range() const noexcept {
    const auto half = [](std::uint32_t word, int h) { return widen(E{static_cast<std::uint16_t>(word >> 16 * h)}); };
    RangeSoFar range;
    range.join({half(lowest, 0), half(highest, 0)});
    range.join({half(lowest, 1), half(highest, 1)});
    return range;
  }
};

/// The same for float32, value by value.
template <>
struct PairRangeSoFar<float> {
  RangeSoFar values;

  PLANISH_DEVICE void add(const Vector16& four) noexcept {
    PLANISH_UNROLL
    for (int i = 0; i < 4; ++i) values.add(__builtin_bit_cast(float, four.words[i]));
  }
  [[nodiscard]] PLANISH_DEVICE RangeSoFar range() const noexcept { return values; }
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
