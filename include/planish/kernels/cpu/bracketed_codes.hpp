#pragma once
// Codes without quotients: x times a number below 1 / s and x times one above it both round to an integer in the one
// instruction that adds 1.5 · 2²³. The rounded quotient lies between the two products, so where they agree on the
// integer it is the quotient's; they disagree only next to a half step, about once in 2¹⁶ values.
#include <bit>
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/core/scheme.hpp>
#include <planish/kernels/cpu/isa/lane_groups.hpp>
#include <planish/kernels/cpu/isa/narrow_codes.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Codes of a row, or of two rows that lie element beside element. What they take is kept as plain numbers: a row may
/// wait for its codes while others are made.
template <int Abreast = 1>
class BracketedCodes {
 public:
  static constexpr index block = 4 * float_lanes;  // values that are written at once
  static constexpr index run = 8 * 64;             // values after which a disagreement shows

  /// Row t has a scale for which Quotient::by_reciprocal holds, values in `range`, and codes from `lowest` to `highest`
  /// steps from zero.
  void set(int t, float scale, ValueRange range, float lowest, float highest, std::int32_t stored_zero) noexcept {
    least_[t] = lowest * scale;
    most_[t] = highest * scale;
    magic_[t] = 0x1.8p23f + static_cast<float>(stored_zero);
    clamps_ = clamps_ || range.highest > (highest + 0.25f) * scale || range.lowest < (lowest - 0.25f) * scale;
    // 1 / scale is off by half a unit in the last place, a rounded quotient by half a unit of its own: two are enough.
    const auto near = std::bit_cast<std::int32_t>(1.0f / scale);
    below_[t] = std::bit_cast<float>(near - 2);
    above_[t] = std::bit_cast<float>(near + 2);
  }

  /// Takes whole blocks, `count` values, and gives them four vectors of codes at a time to `store`; false where one of
  /// them may be wrong.
  template <class StoreFour>
  [[nodiscard]] PLANISH_ALWAYS_INLINE bool write(const float* from, index count,
                                                 const StoreFour& store) const noexcept {
    return clamps_ ? write<true>(from, count, store) : write<false>(from, count, store);
  }

 private:
  template <bool Clamps, class StoreFour>
  [[nodiscard]] PLANISH_ALWAYS_INLINE bool write(const float* from, index count,
                                                 const StoreFour& store) const noexcept {
    const FloatBatch least = repeated_lanes<Abreast>(least_), most = repeated_lanes<Abreast>(most_),
                     below = repeated_lanes<Abreast>(below_), above = repeated_lanes<Abreast>(above_),
                     magic = repeated_lanes<Abreast>(magic_);
    IntBatch differing(0);
    const auto code = [&](index v) __attribute__((always_inline)) {
      FloatBatch x = FloatBatch::load_unaligned(from + v * float_lanes);
      if constexpr (Clamps) x = xsimd::max(xsimd::min(x, most), least);
      const IntBatch low = bits_as<IntBatch>(fused_multiply_add(x, below, magic)),
                     high = bits_as<IntBatch>(fused_multiply_add(x, above, magic));
      differing = with_differences(differing, low, high);
      return low;
    };
    for (; count > 0; count -= block, from += block) store(code(0), code(1), code(2), code(3));
    return is_zero(differing);
  }

  float least_[Abreast] = {}, most_[Abreast] = {};   // the steps at the bounds, as values
  float below_[Abreast] = {}, above_[Abreast] = {};  // around 1 / scale
  float magic_[Abreast] = {};  // 1.5 · 2²³ and the stored zero point: an integer in the low bits of the sum
  bool clamps_ = false;
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
