#pragma once
// What q8p8 makes of queries and of the weights of a page: codes of 8 bits, and the same numbers as floats.
#include <limits>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/isa/fold_lanes.hpp>
#include <planish/kernels/cpu/isa/narrow_words.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/soften.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// `count` floats of a query, a multiple of 16 with zeros at the end, become their codes; returns the scale.
[[nodiscard]] inline float quantize_query(float* query, index count, std::int8_t* codes) noexcept {
  const RowRange range = RowRange::of(query, 1, count);
  const Affine affine = range.finite ? symmetric_affine(range.values, {}, 8) : not_finite_affine();
  const bool finite = is_finite(affine.scale);
  const FloatBatch scale(finite ? affine.scale : std::numeric_limits<float>::infinity());
  for (index i = 0; i < count; i += float_lanes) {
    // no NaN is rounded, and no value is beyond 127 steps
    const auto value = finite ? FloatBatch::load_unaligned(query + i) : FloatBatch(0.0f);
    const IntBatch code = xsimd::nearbyint_as_int(divided(value, scale));
    isa::Best::store_codes(code, codes + i);
    xsimd::to_float(code).store_unaligned(query + i);
  }
  return affine.scale;
}

/// The weights of these lines become codes of 8 bits, in both forms, with their scales and sums; see
/// `reference::quantize_weights`. Corrections are theirs.
PLANISH_LAZY void quantize_weights(PageWeights& page, index lines, const PageScales& values) noexcept {
  alignas(64) float lanes[softened_lines * 16], folded[softened_lines];
  const IntBatch magnitude(0x7fffffff), infinity(0x7f800000);
  const FloatBatch nothing(0.0f);
  const auto at = [&](index line, auto v) __attribute__((always_inline)) {
    return page.weight + line * page_tokens + v * float_lanes;
  };
  for (index l = 0; l < lines; ++l) {
    // Bits of floats that are not negative rise with them; NaN counts as infinity.
    IntBatch highest[Sixteen::vectors];
    unroll<detail::page_vectors>([&](auto v) __attribute__((always_inline)) {
      const auto bits = xsimd::bitwise_cast<IntBatch>(FloatBatch::load_aligned(at(l, v))) & magnitude;
      IntBatch& most = highest[v % Sixteen::vectors];
      if constexpr (decltype(v)::value < Sixteen::vectors)
        most = bits;
      else
        most = xsimd::max(most, bits);
    });
    unroll<Sixteen::vectors>([&](auto v) __attribute__((always_inline)) {
      xsimd::bitwise_cast<FloatBatch>(xsimd::min(highest[v], infinity)).store_aligned(lanes + 16 * l + v * float_lanes);
    });
  }
  fold_lanes(lanes, lines, folded, detail::Larger{});
  for (index l = 0; l < lines; ++l) {
    const bool finite = is_finite(folded[l]);
    float scale = folded[l] / 255.0f;
    if (scale < least_scale) scale = 1.0f;
    page.scale[l] = finite ? scale : not_finite_affine().scale;
    const FloatBatch divisor(scale);
    const auto code = [&](auto v) __attribute__((always_inline)) {
      const auto weight = finite ? FloatBatch::load_aligned(at(l, v)) : nothing;
      const IntBatch rounded = xsimd::nearbyint_as_int(weight / (finite ? divisor : FloatBatch(1.0f)));
      store_low_bytes(rounded, page.code + l * page_tokens + v * float_lanes);
      const FloatBatch as_float = xsimd::to_float(rounded);
      as_float.store_aligned(at(l, v));
      return as_float;
    };
    detail::join_vectors(
        code, [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return sum + code(v); })
        .store(lanes + 16 * l);
  }
  fold_lanes(lanes, lines, page.code_sum, detail::Plus{});
  correct_weights(page, lines, values);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
