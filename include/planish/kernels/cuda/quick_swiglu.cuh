#pragma once
// silu(gate) · up of bfloat16 in half the instructions of row_prologue's formula, by the units for powers of two and
// reciprocals. They are off by some units in the last place, which rounding to bfloat16 hides, but for values next to a
// tie: those are seen, and the formula decides.
#include <cstdint>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/half_pairs.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>
#include <planish/kernels/cuda/row_range.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Units in the last place that a quick product may be off: twice what it is on an H200, over all gates.
inline constexpr std::uint32_t swiglu_doubt = 8;
/// The bits of −80: gates down to there have powers and reciprocals that are normal numbers. Greater as unsigned
/// numbers are those beyond and negative NaN.
inline constexpr std::uint32_t swiglu_quick_gates = 0xc2a0u;

#if defined(__CUDACC__)
/// The lesser of a + b and c, of each half of words.
PLANISH_DEVICE std::uint32_t least_sum_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  return __viaddmin_u16x2(a, b, c);
}
/// The low halves of two words.
PLANISH_DEVICE std::uint32_t low_halves(std::uint32_t a, std::uint32_t b) noexcept { return __byte_perm(a, b, 0x5410); }
#else
inline std::uint32_t least_sum_pairs(std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t least = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const std::uint32_t sum = ((a >> shift) + (b >> shift)) & 0xffffu, other = c >> shift & 0xffffu;
    least |= (sum < other ? sum : other) << shift;
  }
  return least;
}
inline std::uint32_t low_halves(std::uint32_t a, std::uint32_t b) noexcept { return (a & 0xffffu) | b << 16; }
#endif

/// silu(gate) · up, off by less than `swiglu_doubt` units in the last place for gates from −80 on.
[[nodiscard]] PLANISH_DEVICE float nearly_gated(float gate, float up) noexcept {
  return gate * quick_reciprocal(1.0f + quick_power_of_two(gate * -swiglu_log2_e)) * up;
}

/// The same of eight elements, rounded, and whether all of them are sure to be those of the formula.
[[nodiscard]] PLANISH_DEVICE bool nearly_gated(const Vector16& gate, const Vector16& up, Vector16& made) noexcept {
  constexpr std::uint32_t from_tie = (0x8000u + swiglu_doubt) * 0x00010001u;
  std::uint32_t nearest = 0xffffffffu;
  PLANISH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const float low = nearly_gated(widened<BFloat16>(gate.words[i], 0), widened<BFloat16>(up.words[i], 0));
    const float high = nearly_gated(widened<BFloat16>(gate.words[i], 1), widened<BFloat16>(up.words[i], 1));
    made.words[i] = round_pair(BFloat16{}, low, high);
    const std::uint32_t dropped =
        low_halves(__builtin_bit_cast(std::uint32_t, low), __builtin_bit_cast(std::uint32_t, high));
    nearest = least_sum_pairs(dropped, from_tie, nearest);
  }
  const std::uint32_t gates =
      greatest_pairs(greatest_pairs(gate.words[0], gate.words[1], gate.words[2]), gate.words[3], gate.words[3]);
  const std::uint32_t least = nearest >> 16 < (nearest & 0xffffu) ? nearest >> 16 : nearest & 0xffffu;
  return least > 2 * swiglu_doubt && greatest_of(gates >> 16, gates & 0xffffu, 0u) <= swiglu_quick_gates;
}

/// silu(gate) · up of eight elements, rounded: those of `gated`, to the bit.
template <class E>
[[nodiscard]] PLANISH_DEVICE Vector16 gated_rounded(const Vector16& gate, const Vector16& up) noexcept {
  if constexpr (std::is_same_v<E, BFloat16>) {
    Vector16 made;
    if (nearly_gated(gate, up, made)) return made;
  }
  return gated<E>(gate, up);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
