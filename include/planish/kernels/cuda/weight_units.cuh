#pragma once
// How weights of weight-only products lie in memory, and how their codes become 16-bit floats in registers: bits of a
// code are set into the fraction of a float of known exponent, and one fused step takes that and the zero point away.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/half.hpp>
#include <planish/kernels/cuda/half_pairs.cuh>
#include <planish/kernels/cuda/matrix_fragments.cuh>
#include <planish/kernels/cuda/warp.cuh>

namespace planish::inline PLANISH_ABI::kernels::cuda {

// Units of 64 channels × 64 columns, all column units of 64 channels behind each other. Channels are dealt to the rows
// of four products as in matrix_fragments.cuh; columns are in order, four steps of 16.
inline constexpr int float_unit_columns = 64;
inline constexpr int float_unit_steps = float_unit_columns / 16;

[[nodiscard]] PLANISH_HOST_DEVICE constexpr int float_unit_bytes(int stored_bits) noexcept {
  return unit_channels * float_unit_columns * stored_bits / 8;
}

/// Words that hold the fragments of one lane of a tile in two steps.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr int lane_words(int stored_bits) noexcept { return stored_bits / 2; }

/// Where a weight lies in its unit: [pair of steps][tile][lane][lane_words]. Register r and half h of the A fragment of
/// step s lies, of 2 bits at bit 16 h + 8 (s % 2) + 2 r; of 4 bits in word s % 2 at bit 16 h + 4 r; of 8 bits in word
/// 2 (s % 2) + r / 2 at bit 16 h + 8 (r % 2).
[[nodiscard]] PLANISH_HOST_DEVICE constexpr UnitPosition float_unit_position(int stored_bits, int channel,
                                                                             int column) noexcept {
  const int t = channel % 8 / 2, row = channel / 8 + 8 * (channel % 2);
  const int s = column / 16, k = column % 16;
  const int r = row / 8 + 2 * (k / 8), h = k % 2, l = 4 * (row % 8) + k % 8 / 2;
  const int within = stored_bits == 2 ? 0 : stored_bits == 4 ? s % 2 : s % 2 * 2 + r / 2;
  const int word = ((s / 2 * unit_tiles + t) * 32 + l) * lane_words(stored_bits) + within;
  const int bit = 16 * h + (stored_bits == 2 ? 8 * (s % 2) + 2 * r : stored_bits == 4 ? 4 * r : 8 * (r % 2));
  return {4 * word + bit / 8, bit % 8};
}

#if defined(__CUDACC__)
/// a · b + c of both halves, each rounded once.
PLANISH_DEVICE std::uint32_t multiply_add_pair(BFloat16, std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
PLANISH_DEVICE std::uint32_t multiply_add_pair(Half, std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t d;
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
/// Byte i of the result is byte `selector >> 4 i & 7` of b:a.
template <unsigned Selector>
PLANISH_DEVICE std::uint32_t pick_bytes(std::uint32_t a, std::uint32_t b) noexcept {
  return __byte_perm(a, b, Selector);
}
// Not __builtin_bit_cast: the compiler's front end fails on one whose operand is no constant in such an initializer.
PLANISH_DEVICE float float_of(std::uint32_t word) noexcept { return __uint_as_float(word); }
PLANISH_DEVICE std::uint32_t word_of(float value) noexcept { return __float_as_uint(value); }
#else
template <class E>
inline std::uint32_t multiply_add_pair(E, std::uint32_t a, std::uint32_t b, std::uint32_t c) noexcept {
  std::uint32_t pair = 0;
  for (int h = 0; h < 2; ++h) {  // exact in double: at most 23 bits
    const auto at = [&](std::uint32_t word) { return E{static_cast<std::uint16_t>(word >> (16 * h))}.to_float(); };
    const double value = double{at(a)} * double{at(b)} + double{at(c)};
    pair |= static_cast<std::uint32_t>(E::from_float(static_cast<float>(value)).bits) << (16 * h);
  }
  return pair;
}
template <unsigned Selector>
inline std::uint32_t pick_bytes(std::uint32_t a, std::uint32_t b) noexcept {
  const std::uint64_t both = a | std::uint64_t{b} << 32;
  std::uint32_t picked = 0;
  for (int i = 0; i < 4; ++i)
    picked |= static_cast<std::uint32_t>(both >> (8 * (Selector >> (4 * i) & 7u)) & 255u) << (8 * i);
  return picked;
}
inline float float_of(std::uint32_t word) noexcept { return __builtin_bit_cast(float, word); }
inline std::uint32_t word_of(float value) noexcept { return __builtin_bit_cast(std::uint32_t, value); }
#endif

/// A format whose numbers from 2^e on are `code` above 2^e where the code stands in the low bits of the fraction.
template <class E>
struct FloatFormat;
template <>
struct FloatFormat<BFloat16> {
  static constexpr int fraction_bits = 7, bias = 127;
};
template <>
struct FloatFormat<Half> {
  static constexpr int fraction_bits = 10, bias = 15;
};

/// The bits of 2^exponent in both halves.
template <class E>
[[nodiscard]] PLANISH_HOST_DEVICE constexpr std::uint32_t power_pair(int exponent) noexcept {
  return static_cast<std::uint32_t>((FloatFormat<E>::bias + exponent) << FloatFormat<E>::fraction_bits) * 0x10001u;
}

/// code − zero of both halves of a word, exact; the codes of `Bits` bits stand at bit `At` of each half. `zero_pair`:
/// the stored value that means 0, in both halves.
template <class E, int Bits, int At>
PLANISH_DEVICE std::uint32_t expand_pair(std::uint32_t word, std::uint32_t zero_pair) noexcept {
  constexpr int fraction = FloatFormat<E>::fraction_bits;
  // The code may stand in the fraction where it is; else a shift brings it there, one for as many as the fraction has.
  constexpr int together = fraction / Bits * Bits, shift = At / together * together, position = At - shift;
  constexpr std::uint32_t mask = ((1u << Bits) - 1u) << position;
  const std::uint32_t raised = masked_over(word >> shift, mask * 0x10001u, power_pair<E>(fraction));
  const std::uint32_t away = (power_pair<E>(fraction - position) | zero_pair << position) ^ 0x80008000u;
  return multiply_add_pair(E{}, raised, power_pair<E>(-position), away);
}

/// The same of bytes `First` and `First` + 2 of a word.
template <class E, int First>
PLANISH_DEVICE std::uint32_t expand_bytes(std::uint32_t word, std::uint32_t zero_pair) noexcept {
  if constexpr (FloatFormat<E>::fraction_bits >= 8) {
    constexpr std::uint32_t power = power_pair<E>(FloatFormat<E>::fraction_bits);
    const std::uint32_t bytes = pick_bytes<0x5050u | (First + 2) << 8 | First>(word, power);
    return multiply_add_pair(E{}, bytes, power_pair<E>(0), (power | zero_pair) ^ 0x80008000u);
  } else {                                        // by float: the difference has 8 bits, so its upper half is all of it
    constexpr std::uint32_t power = 0x4b000000u;  // 2^23
    const float away = float_of((power ^ 0x80000000u) | (zero_pair & 255u));
    const float low = float_of(pick_bytes<0x7540u | First>(word, power)) + away;
    const float high = float_of(pick_bytes<0x7540u | (First + 2)>(word, power)) + away;
    return pick_bytes<0x7632u>(word_of(low), word_of(high));
  }
}

/// A lane's words of a tile and two steps.
template <int Bits>
struct alignas(4 * lane_words(Bits)) LaneWords {
  std::uint32_t words[lane_words(Bits)];

  /// `unit`: of shared memory; `half`: steps 0 and 1, or 2 and 3.
  PLANISH_DEVICE static LaneWords load(const unsigned char* unit, int half, int tile) noexcept {
    return reinterpret_cast<const LaneWords*>(
        unit)[(half * unit_tiles + tile) * warp_size + thread_index() % warp_size];
  }
};

/// The A fragment of the first (Step 0) or second step of such words. `zeros`: of the lane's two rows, as pairs.
template <class E, int Step, int Bits>
PLANISH_DEVICE void expand_fragment(const LaneWords<Bits>& from, const std::uint32_t* zeros,
                                    std::uint32_t (&fragment)[4]) noexcept {
  if constexpr (Bits == 8) {
    fragment[0] = expand_bytes<E, 0>(from.words[2 * Step], zeros[0]);
    fragment[1] = expand_bytes<E, 1>(from.words[2 * Step], zeros[1]);
    fragment[2] = expand_bytes<E, 0>(from.words[2 * Step + 1], zeros[0]);
    fragment[3] = expand_bytes<E, 1>(from.words[2 * Step + 1], zeros[1]);
  } else {
    constexpr int first = Bits == 2 ? 8 * Step : 0;
    const std::uint32_t word = from.words[Bits == 2 ? 0 : Step];
    fragment[0] = expand_pair<E, Bits, first>(word, zeros[0]);
    fragment[1] = expand_pair<E, Bits, first + Bits>(word, zeros[1]);
    fragment[2] = expand_pair<E, Bits, first + 2 * Bits>(word, zeros[0]);
    fragment[3] = expand_pair<E, Bits, first + 3 * Bits>(word, zeros[1]);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
