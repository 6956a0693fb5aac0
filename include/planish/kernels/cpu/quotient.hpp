#pragma once
// x / s for one s and many x, to the bit, without a division per register: a vector division takes as long as sixteen
// multiply-adds.
#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/simd.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// Correctly rounded quotients by one positive divisor. Where `by_reciprocal` holds they come from its reciprocal in
/// two parts, whose product is off by less than one unit in the last place, and one correction by the exact remainder
/// (P. Markstein, IBM J. Res. Dev. 34(1), 1990). Quotients below 1/4 may come out inexact where x is next to the least
/// floats; every one of them rounds to 0.
class Quotient {
 public:
  explicit Quotient(float divisor) noexcept : divisor_(divisor), reciprocal_(1.0f / divisor) {
    const float high = 1.0f / divisor;
    rest_ = FloatBatch(fused_multiply_add(-high, divisor, 1.0f) * high);
  }

  /// True if the target multiplies and adds at once, and no correction for an x of `range` leaves the normal floats.
  [[nodiscard]] static bool by_reciprocal(float divisor, ValueRange range) noexcept {
#if defined(__FMA__) || defined(__aarch64__)
    const float most = 0x1p40f * divisor;
    return divisor > 0x1p-80f && divisor < 0x1p80f && range.highest <= most && range.lowest >= -most;
#else
    static_cast<void>(divisor);
    static_cast<void>(range);
    return false;
#endif
  }

  /// x / divisor for finite x; `ByReciprocal` only where by_reciprocal says so.
  template <bool ByReciprocal>
  [[nodiscard]] PLANISH_ALWAYS_INLINE FloatBatch of(FloatBatch x) const noexcept {
    if constexpr (ByReciprocal) {
      const FloatBatch near = fused_multiply_add(x, reciprocal_, x * rest_);
      return fused_multiply_add(fused_negative_multiply_add(near, divisor_, x), reciprocal_, near);
    } else {
      return divided(x, divisor_);
    }
  }

 private:
  FloatBatch divisor_, reciprocal_, rest_;  // 1 / divisor ≈ reciprocal + rest
};

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
