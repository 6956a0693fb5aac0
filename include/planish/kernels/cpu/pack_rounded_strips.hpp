#pragma once
// The left operand of rounded_product.hpp: floats rounded to 16-bit integers, a scale for each row.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/float_tiles.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/scratch.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

inline constexpr index rounded_strip_rows = most_float_rows;
inline constexpr index rounded_chunk = 512;  // terms of a run: 512 · 32767 · 128 < 2³¹
inline constexpr std::int32_t rounded_most = 32767;

/// Pairs of neighbouring terms.
[[nodiscard]] constexpr index rounded_pairs(index terms) noexcept { return (terms + 1) / 2; }

/// Two terms in a word, the first in its lower half.
[[nodiscard]] constexpr std::int32_t term_pair(std::int32_t first, std::int32_t second) noexcept {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(second) << 16) |
                                   (static_cast<std::uint32_t>(first) & 0xffffu));
}

/// The scale of a row whose largest magnitude has these bits, and what its terms are multiplied by before they are
/// rounded. Rows below 1e-30 count as zeros; one with NaN or infinity has codes 0 and the scale NaN.
struct RowRounding {
  float scale = 0.0f, factor = 0.0f;

  [[nodiscard]] static RowRounding of(std::int32_t magnitude_bits) noexcept {
    const auto largest = std::bit_cast<float>(magnitude_bits);
    if (largest < 1e-30f) return {};
    if (!(largest <= std::numeric_limits<float>::max())) return {std::numeric_limits<float>::quiet_NaN(), 0.0f};
    return {largest / static_cast<float>(rounded_most), static_cast<float>(rounded_most) / largest};
  }
};

namespace detail {

/// Magnitudes as integers, which rise with them and put infinity and NaN on top.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch magnitude_bits(FloatBatch x) noexcept {
  return bits_as<IntBatch>(x) & IntBatch(0x7fffffff);
}

/// Codes of lanes of which those of `rounding.factor` 0 are 0, NaN too.
[[nodiscard]] PLANISH_ALWAYS_INLINE IntBatch rounded_codes(FloatBatch x, FloatBatch factor) noexcept {
  return xsimd::nearbyint_as_int(xsimd::select(factor == FloatBatch(0.0f), FloatBatch(0.0f), x * factor));
}

/// Rows × terms whose rows are dense.
inline void round_dense_rows(MatrixView<const float> a, const float* factors, std::int32_t* to,
                             float* scales) noexcept {
  alignas(64) std::int32_t codes[rounded_chunk];
  alignas(64) float terms[rounded_chunk];
  const index count = a.columns(), pairs = rounded_pairs(count), rows = a.rows();
  for (index r = 0; r < rows; ++r) {
    IntBatch most(0);
    for (index k = 0; k < count; k += float_lanes) {
      const index lanes = std::min(float_lanes, count - k);
      const FloatBatch x = load_partial(a.row(r) + k, lanes) * load_partial(factors + k, lanes);
      x.store_aligned(terms + k);
      most = xsimd::max(most, magnitude_bits(x));
    }
    const RowRounding rounding = RowRounding::of(fold_register(
        most, [](IntBatch x, IntBatch y) __attribute__((always_inline)) { return xsimd::max(x, y); }));
    scales[r] = rounding.scale;
    const FloatBatch factor(rounding.factor);
    for (index k = 0; k < count; k += float_lanes)
      rounded_codes(FloatBatch::load_aligned(terms + k), factor).store_aligned(codes + k);  // zeros behind the last
    for (index p = 0; p < pairs; ++p) to[p * rows + r] = term_pair(codes[2 * p], codes[2 * p + 1]);
  }
}

/// Rows × terms whose columns are dense.
inline void round_dense_columns(MatrixView<const float> a, const float* factors, std::int32_t* to,
                                float* scales) noexcept {
  alignas(64) float factor_lanes[FloatBatch::size];
  const index count = a.columns(), rows = a.rows();
  for (index first = 0; first < rows; first += float_lanes) {
    const index lanes = std::min(float_lanes, rows - first);
    const auto term = [&](index k) __attribute__((always_inline)) {
      return load_partial(a.data() + first + k * a.column_stride(), lanes) * FloatBatch(factors[k]);
    };
    IntBatch most(0);
    for (index k = 0; k < count; ++k) most = xsimd::max(most, magnitude_bits(term(k)));
    alignas(64) std::int32_t bits[IntBatch::size];
    most.store_aligned(bits);
    for (index i = 0; i < float_lanes; ++i) {
      const RowRounding rounding = RowRounding::of(bits[i]);
      if (i < lanes) scales[first + i] = rounding.scale;
      factor_lanes[i] = rounding.factor;
    }
    const FloatBatch factor = FloatBatch::load_aligned(factor_lanes);
    for (index k = 0; k < count; k += 2) {
      const IntBatch low = rounded_codes(term(k), factor),
                     high = k + 1 < count ? rounded_codes(term(k + 1), factor) : IntBatch(0);
      const IntBatch pairs = (high << 16) | (low & IntBatch(0xffff));
      store_partial(pairs, to + k / 2 * rows + first, lanes);
    }
  }
}

}  // namespace detail

/// Strip `strip` of a (rows × terms, at most rounded_chunk; its rows or its columns are dense), its terms times their
/// `factors`: [pair of terms][rows of the strip], a pair to a word; and the scale of each row.
inline void pack_rounded_strip(MatrixView<const float> a, index strip, const float* factors, std::int32_t* to,
                               float* scales) noexcept {
  const index first = strip * rounded_strip_rows;
  const MatrixView<const float> rows = a.middle_rows(first, std::min(rounded_strip_rows, a.rows() - first));
  if (a.has_dense_rows())
    detail::round_dense_rows(rows, factors, to, scales);
  else
    detail::round_dense_columns(rows, factors, to, scales);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
