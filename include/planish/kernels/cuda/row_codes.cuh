#pragma once
// Values of a row to stored codes: the formula of core/affine.hpp in fewer instructions, equal to the bit.
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/cuda/warp.cuh>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// How the codes of a row lie in memory: a byte each, as the integer products read them, or two to a byte, offset by
/// 2^(b−1) when symmetric, as bit_packing.hpp packs 4 bits.
enum class CodeForm : std::uint8_t { bytes, nibbles };

/// What one row's values are turned into codes by.
struct RowCoder {
  Affine affine;          // of the stored codes; scale NaN: the row held NaN or infinity, its codes are 0
  float divisor;          // the scale, or where `shifted` the scale times a power of two, in [1, 2)
  float reciprocal;       // of the divisor, to nearest
  float shift;            // that power of two
  float lowest, highest;  // of a code, in steps from the zero point
  bool shifted;           // values go through `shifted_value` first
  bool usable;

  /// `range` counts 0 in; `finite`: so was every value of the row.
  PLANISH_DEVICE static RowCoder make(ValueRange range, bool finite, const RowQuantizer& q) noexcept {
    const CodeRange codes = code_range(q.bits, q.symmetry);
    const Affine affine = finite ? q.affine(range) : not_finite_affine();
    RowCoder coder;
    coder.usable = is_finite(affine.scale);
    coder.affine = {affine.scale, coder.usable ? affine.zero_point - q.storage_offset() : 0};
    // A dynamic scale bounds the quotients; far from the ends of the exponent no step of `code` under- or overflows.
    coder.shifted = q.is_static() || affine.scale < 0x1p-60f || affine.scale > 0x1p60f;
    const auto bits = __builtin_bit_cast(std::uint32_t, affine.scale);
    const std::uint32_t exponent = bits >> 23 & 255u;
    coder.shift = __builtin_bit_cast(float, exponent < 254 ? (254 - exponent) << 23 : 0x00400000u);
    coder.divisor = coder.shifted ? __builtin_bit_cast(float, (bits & 0x007fffffu) | 0x3f800000u) : affine.scale;
    coder.reciprocal = 1.0f / coder.divisor;
    coder.lowest = coder.usable ? static_cast<float>(codes.lowest - affine.zero_point) : 0.0f;
    coder.highest = coder.usable ? static_cast<float>(codes.highest - affine.zero_point) : 0.0f;
    return coder;
  }

  /// A coder for `quick_steps` alone, of dynamic symmetric codes: without divisions, the reciprocal some ulps off, and
  /// without the scale. Not usable where it takes `make`.
  PLANISH_DEVICE static RowCoder make_quickly(ValueRange range, bool finite, const RowQuantizer& q) noexcept {
    const float most = greatest(q.clip.positive * range.highest, -q.clip.negative * range.lowest);
    const float top = static_cast<float>((1 << (q.bits - 1)) - 1);
    RowCoder coder;
    coder.usable = finite && !q.is_static() && q.symmetry == Symmetry::symmetric && most > 0x1p-50f && most < 0x1p50f;
    coder.affine = {};
    coder.shifted = false;
    coder.shift = 1.0f;
    coder.reciprocal = top * quick_reciprocal(most);
    coder.divisor = most;
    coder.lowest = -1.0f - top;
    coder.highest = top;
    return coder;
  }

  /// The scale that such a coder leaves out, as `symmetric_affine` has it.
  [[nodiscard]] PLANISH_DEVICE float quick_scale() const noexcept { return divisor / highest; }

  /// To call on values before `code`, where the coder is shifted.
  [[nodiscard]] PLANISH_DEVICE float shifted_value(float value) const noexcept {
    constexpr float far = 0x1p22f;  // half of it is beyond any code
    return least(greatest(value * shift, -far), far);
  }

  /// Whether no finite value of a row with this range is cut off.
  [[nodiscard]] PLANISH_DEVICE bool covers(ValueRange range) const noexcept {
    return range.lowest * reciprocal >= lowest - 0.25f && range.highest * reciprocal <= highest + 0.25f;
  }

  /// The lowest byte is the code less the zero point, by one product with the reciprocal in place of the division: for
  /// values that carry a rounding of their own. The coder must not be shifted; `Cut`: values may lie beyond the ends.
  template <bool Cut>
  [[nodiscard]] PLANISH_DEVICE std::uint32_t quick_steps(float value) const noexcept {
    if constexpr (Cut) {
      const float steps = least(greatest(value * reciprocal, lowest), highest);
      return __builtin_bit_cast(std::uint32_t, steps + 0x1.8p23f);
    } else {
      return __builtin_bit_cast(std::uint32_t, fused_multiply_add(value, reciprocal, 0x1.8p23f));
    }
  }

  /// The lowest byte is the code less the zero point, for whole quotients as of `code`. One correction is enough for
  /// values of 16 bits: their quotients by a float lie too far from a tie, or right on it. `Cut` as of `quick_steps`.
  template <bool Cut, int Corrections>
  [[nodiscard]] PLANISH_DEVICE std::uint32_t exact_steps(float value) const noexcept {
    float steps = value * reciprocal;
    PLANISH_UNROLL
    for (int i = 0; i < Corrections; ++i)
      steps = fused_multiply_add(fused_multiply_add(-steps, divisor, value), reciprocal, steps);
    if constexpr (Cut) steps = least(greatest(steps, lowest), highest);
    return __builtin_bit_cast(std::uint32_t, steps + 0x1.8p23f);
  }

  /// The lowest byte is the stored code. x / s, correctly rounded: from a first quotient that is some ulps off, a
  /// second that is less than one ulp off, and from that by Markstein's theorem the right one. NaN leads to `lowest`.
  [[nodiscard]] PLANISH_DEVICE std::uint32_t code(float value) const noexcept {
    const float first = value * reciprocal;
    const float second = fused_multiply_add(fused_multiply_add(-first, divisor, value), reciprocal, first);
    const float steps = fused_multiply_add(fused_multiply_add(-second, divisor, value), reciprocal, second);
    const float rounded = least(greatest(steps, lowest), highest) + 0x1.8p23f;  // half to even, integer in the low bits
    return __builtin_bit_cast(std::uint32_t, rounded) + static_cast<std::uint32_t>(affine.zero_point);
  }
};

/// Least and greatest value so far of one thread, with 0; NaN once a value was.
struct RangeSoFar {
  float lowest = 0.0f, highest = 0.0f;

  PLANISH_DEVICE void add(float value) noexcept {
    lowest = least_or_nan(lowest, value);
    highest = greatest_or_nan(highest, value);
  }
  PLANISH_DEVICE void join(const RangeSoFar& other) noexcept {
    lowest = least_or_nan(lowest, other.lowest);
    highest = greatest_or_nan(highest, other.highest);
  }
  /// Whether every value was finite.
  [[nodiscard]] PLANISH_DEVICE bool finite() const noexcept { return is_finite(lowest) && is_finite(highest); }
};

/// The range of all lanes of a warp, in each.
PLANISH_DEVICE RangeSoFar join_warp(RangeSoFar range) noexcept {
  PLANISH_UNROLL
  for (int mask = 16; mask > 0; mask /= 2)
    range.join({shuffle_xor(range.lowest, mask), shuffle_xor(range.highest, mask)});
  return range;
}

/// The range of all threads of a block, in each.
PLANISH_DEVICE RangeSoFar join_block(RangeSoFar range, int threads) noexcept {
  range = join_warp(range);
  if (threads == warp_size) return range;
  auto* meeting = reinterpret_cast<RangeSoFar*>(shared_memory());
  if (thread_index() % warp_size == 0) meeting[thread_index() / warp_size] = range;
  block_barrier();
  range = meeting[0];
  for (int i = 1; i < threads / warp_size; ++i) range.join(meeting[i]);
  block_barrier();
  return range;
}

PLANISH_DEVICE int sum_warp(int value) noexcept {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_add_sync(0xffffffffu, value);
#else
  PLANISH_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  return value;
#endif
}

/// Four codes of 4 bits, a byte each, as four nibbles, first lowest: 8 is added, by the sign bit of each.
[[nodiscard]] PLANISH_HOST_DEVICE constexpr std::uint32_t four_nibbles(std::uint32_t bytes) noexcept {
  const std::uint32_t codes = bytes & 0x0f0f0f0fu, pairs = codes | codes >> 4;
  return ((pairs & 0xffu) | (pairs >> 8 & 0xff00u)) ^ 0x8888u;
}

/// The codes of `Count` quick_steps in one word, `Bits` each, first lowest, by one addition each: the words' common
/// 0x4b400000 is taken from the sum. Each place is offset by 2^(Bits−1), so that none borrows from the next; nibbles
/// keep the offset, as they are stored with it. Steps beyond the codes' ends would spoil their neighbours: see
/// `covers`.
template <int Bits, int Count>
[[nodiscard]] PLANISH_DEVICE std::uint32_t pack_steps(const std::uint32_t* steps, int zero_point) noexcept {
  constexpr std::uint32_t places = (Bits == 4 ? 0x11111111u : 0x01010101u) >> (32 - Bits * Count);
  std::uint32_t word = 0;
  PLANISH_UNROLL
  for (int i = Count - 1; i >= 0; --i) word = (word << Bits) + steps[i];
  word += (static_cast<std::uint32_t>(zero_point) - 0x4b400000u + (1u << (Bits - 1))) * places;
  return Bits == 8 ? word ^ 0x80808080u : word;
}

/// Sum of eight nibbles as pack_steps leaves them, each 8 more than its code, added to `sum`.
PLANISH_DEVICE int add_nibbles(std::uint32_t word, int sum) noexcept {
  return add_bytes(word & 0x0f0f0f0fu, add_bytes(word >> 4 & 0x0f0f0f0fu, sum));
}

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
