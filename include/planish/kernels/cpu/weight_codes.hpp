#pragma once
// What q8p8 makes of queries and of the weights of a page: codes of 8 bits, and the same numbers as floats.
#include <limits>
#include <type_traits>

#include <planish/core/abi.hpp>
#include <planish/core/affine.hpp>
#include <planish/kernels/cpu/isa/best.hpp>
#include <planish/kernels/cpu/isa/fold_lanes.hpp>
#include <planish/kernels/cpu/isa/narrow_words.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/quotient.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/soften.hpp>
#include <planish/packing/kv_pages.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// `count` floats of a query, a multiple of 16 with zeros at the end, become their codes; returns the scale.
PLANISH_LAZY [[nodiscard]] inline float quantize_query(float* query, index count, std::int8_t* codes) noexcept {
  const RowRange range = RowRange::of(query, 1, count);
  const Affine affine = range.finite ? symmetric_affine(range.values, {}, 8) : not_finite_affine();
  const bool finite = is_finite(affine.scale);
  const Quotient quotient(finite ? affine.scale : std::numeric_limits<float>::infinity());
  const auto write = [&](auto by_reciprocal) __attribute__((always_inline)) {
    for (index i = 0; i < count; i += float_lanes) {
      // no NaN is rounded, and no value is beyond 127 steps
      const auto value = finite ? FloatBatch::load_unaligned(query + i) : FloatBatch(0.0f);
      const IntBatch code = xsimd::nearbyint_as_int(quotient.template of<decltype(by_reciprocal)::value>(value));
      isa::Best::store_codes(code, codes + i);
      xsimd::to_float(code).store_unaligned(query + i);
    }
  };
  if (finite && Quotient::by_reciprocal(affine.scale, range.values))
    write(std::true_type{});
  else
    write(std::false_type{});
  return affine.scale;
}

/// The weights of some lines over some pages become codes of 8 bits, in both forms, with their scales and sums; see
/// `reference::quantize_weights`. Corrections are theirs.
PLANISH_LAZY void quantize_weights(PageWeights& page, index lines, index pages, const PagePairScales* scales) noexcept {
  alignas(64) float lanes[softened_lines * 16], highest[PageWeights::room];
  const index places = pages * lines;
  const IntBatch magnitude(0x7fffffff), infinity(0x7f800000);
  for (index l = 0; l < places; ++l) {
    // Bits of floats that are not negative rise with them; NaN counts as infinity.
    IntBatch most[Sixteen::vectors];
    unroll<detail::page_vectors>([&](auto v) __attribute__((always_inline)) {
      const auto bits = bits_as<IntBatch>(FloatBatch::load_aligned(page.at(l, v))) & magnitude;
      IntBatch& so_far = most[v % Sixteen::vectors];
      if constexpr (decltype(v)::value < Sixteen::vectors)
        so_far = bits;
      else
        so_far = xsimd::max(so_far, bits);
    });
    unroll<Sixteen::vectors>([&](auto v) __attribute__((always_inline)) {
      bits_as<FloatBatch>(xsimd::min(most[v], infinity)).store_aligned(lanes + 16 * l + v * float_lanes);
    });
  }
  fold_lanes(lanes, places, highest, detail::Larger{});
  for (index l = 0; l < places; ++l) {
    const float scale = highest[l] / 255.0f;
    page.scale[l] = !is_finite(highest[l]) ? not_finite_affine().scale : scale < least_scale ? 1.0f : scale;
  }
  for (index l = 0; l < places; ++l) {
    const bool finite = is_finite(highest[l]);
    const Quotient quotient(finite ? page.scale[l] : 1.0f);
    const auto write = [&](auto by_reciprocal) __attribute__((always_inline)) {
      const auto code = [&](auto v) __attribute__((always_inline)) {
        const auto weight = finite ? FloatBatch::load_aligned(page.at(l, v)) : FloatBatch(0.0f);
        const IntBatch rounded = xsimd::nearbyint_as_int(quotient.template of<decltype(by_reciprocal)::value>(weight));
        store_low_bytes(rounded, page.code + l * page_tokens + v * float_lanes);
        const FloatBatch as_float = xsimd::to_float(rounded);
        as_float.store_aligned(page.at(l, v));
        return as_float;
      };
      detail::join_vectors(
          code, [&](FloatBatch sum, auto v) __attribute__((always_inline)) { return sum + code(v); })
          .store(lanes + 16 * l);
    };
    if (finite && Quotient::by_reciprocal(page.scale[l], {.lowest = 0.0f, .highest = highest[l]}))
      write(std::true_type{});
    else
      write(std::false_type{});
  }
  fold_lanes(lanes, places, page.code_sum, detail::Plus{});
  correct_weights(page, lines, pages, scales);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
