#pragma once
#include <bit>
#include <cstdint>

#include <planish/core/rescale.hpp>
#include <planish/quantizer/min_max.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// x^2.4 for x ≥ 0, to about 1e-6 relative: t · t^(1/5) with t = x² and t^(−1/5) by Newton's iteration, so that a loop
/// over an array becomes vector code on every target.
[[nodiscard]] inline float power_2_4(float x) noexcept {
  const float t = x * x;
  float root = std::bit_cast<float>(0x4c2bb000u - std::bit_cast<std::uint32_t>(t) / 5u);  // t^(-1/5) within 3.2 %
  for (int i = 0; i < 3; ++i) {
    const float square = root * root;
    root *= multiply_add(-0.2f, t * root * square * square, 1.2f);
  }
  const float square = root * root;
  return t * (t * square * square);
}

}  // namespace detail

/// The part p of what the tile holds that leaves the least Σ|ŵ − w|^2.4, over p = 1 − i/100, i = 0 … 79; the largest p
/// where several are equal (GPTQ's `mse` search, arXiv 2210.17323).
struct MseShrink {
  static constexpr int candidates = 80;

  template <ScaleRule Scale>
  [[nodiscard]] ValueRange operator()(MatrixView<const float> tile, TileScheme<Scale> scheme) const noexcept {
    const ValueRange full = MinMax{}(tile);
    const Affine unshrunk = scheme.affine(full);
    ValueRange best = full;
    float least = 0.0f;
    for (int i = 0; i < candidates; ++i) {
      const float part = static_cast<float>(100 - i) / 100.0f;
      const ValueRange range{full.lowest * part, full.highest * part};
      const float error =
          error_of(tile, scheme.affine(range), scheme.codes(), 1.0f / unshrunk.scale, least, /*bounded=*/i > 0);
      if (i == 0 || error < least) {
        least = error;
        best = range;
      }
    }
    return best;
  }

 private:
  static constexpr int lanes = 16, chunk = 64;

  /// Σ|ŵ − w|^2.4 with errors in units of the unshrunk step; a sum that reaches `bound` is not finished.
  [[nodiscard]] static float error_of(MatrixView<const float> tile, Affine affine, CodeRange codes, float unit,
                                      float bound, bool bounded) noexcept {
    float sums[lanes] = {};
    float values[chunk];
    for (index r = 0; r < tile.rows(); ++r)
      for (index first = 0; first < tile.columns(); first += chunk) {
        const index count = tile.columns() - first < chunk ? tile.columns() - first : chunk;
        for (int j = 0; j < chunk; ++j) values[j] = j < count ? tile(r, first + j) : 0.0f;
        for (int j = 0; j < chunk; j += lanes)
          for (int lane = 0; lane < lanes; ++lane) {
            const float value = values[j + lane];
            const float error = (to_value(to_code(value, affine, codes), affine) - value) * unit;
            const float cost = detail::power_2_4(error < 0.0f ? -error : error);
            sums[lane] += j + lane < count ? cost : 0.0f;
          }
        if (bounded && total(sums) >= bound) return bound;
      }
    return total(sums);
  }

  [[nodiscard]] static float total(const float (&sums)[lanes]) noexcept {
    float sum = 0.0f;
    for (float part : sums) sum += part;
    return sum;
  }
};

static_assert(RangeRule<MseShrink>);

}  // namespace planish::inline PLANISH_ABI
