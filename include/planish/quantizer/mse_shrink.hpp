#pragma once
#include <bit>
#include <cstdint>

#include <planish/core/rescale.hpp>
#include <planish/quantizer/min_max.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// |x|^2.4, to about 1e-6 relative: t · t^(1/5) with t = x², and t^(−1/5) from its exponent, one step of third order
/// and one of Newton's. No branch, table or division, so that a loop over an array becomes vector code on every target.
[[nodiscard]] inline float power_2_4(float x) noexcept {
  const float t = x * x;
  const auto bits = static_cast<float>(std::bit_cast<std::int32_t>(t));
  float root =
      std::bit_cast<float>(static_cast<std::int32_t>(multiply_add(bits, -0.2f, 1277931520.0f)));  // within 3.2 %
  float square = root * root;
  const float defect = multiply_add(-t * root, square * square, 1.0f);
  root *= multiply_add(multiply_add(multiply_add(defect, 0.088f, 0.12f), defect, 0.2f), defect, 1.0f);
  square = root * root;
  root *= multiply_add(-0.2f, t * root * square * square, 1.2f);
  square = root * root;
  return t * (t * square * square);
}

}  // namespace detail

/// The part p of what the tile holds that leaves the least Σ|ŵ − w|^2.4, over p = 1 − i/100, i = 0 … 79; the largest p
/// where several are equal (GPTQ's `mse` search, arXiv 2210.17323). Sums are float32 and quotients products by 1 / s:
/// of ranges whose errors agree to about 1e-5, either may be chosen; the codes are then made by the exact formula.
struct MseShrink {
  static constexpr int candidates = 80;

  template <ScaleRule Scale>
  [[nodiscard]] ValueRange operator()(MatrixView<const float> tile, TileScheme<Scale> scheme) const noexcept {
    const ValueRange full = MinMax{}(tile);
    const float unit = scheme.affine(full).scale;  // errors are compared in steps of the full range
    ValueRange best = full;
    double least = error_of(tile, scheme.affine(full), scheme.codes(), unit, 1e300);
    for (int i = 1; i < candidates; ++i) {
      const float part = static_cast<float>(100 - i) / 100.0f;
      const ValueRange range{full.lowest * part, full.highest * part};
      const double error = error_of(tile, scheme.affine(range), scheme.codes(), unit, least);
      if (error < least) {
        least = error;
        best = range;
      }
    }
    return best;
  }

 private:
  static constexpr index lanes = 32, chunks_between_checks = 8;

  /// Errors of neighbouring values, in steps of this affine, each lane for itself.
  struct Lanes {
    float inverse, lowest, highest;  // 1 / scale; the range of rint(x / s)
    float sums[lanes] = {};

    [[nodiscard]] float error(float value) const noexcept {
      constexpr float rounder = 0x1.8p23f;  // what is too large to be rounded by it is clamped
      const float steps = value * inverse;
      float code = (steps + rounder) - rounder;
      code = code < lowest ? lowest : code;
      code = code > highest ? highest : code;
      return detail::power_2_4(code - steps);
    }
    /// The first `count` of the values; all lanes are computed.
    void add(const float* values, index count) noexcept {
      for (index lane = 0; lane < lanes; ++lane) {
        const float cost = error(values[lane]);
        sums[lane] += lane < count ? cost : 0.0f;
      }
    }
    [[nodiscard]] double total() const noexcept {
      double sum = 0.0;
      for (float part : sums) sum += static_cast<double>(part);
      return sum;
    }
  };

  /// Σ|ŵ − w|^2.4 in units^2.4; a sum that has reached `bound` is not finished.
  [[nodiscard]] static double error_of(MatrixView<const float> tile, Affine affine, CodeRange codes, float unit,
                                       double bound) noexcept {
    const double scaled = static_cast<double>(detail::power_2_4(affine.scale / unit));
    double sum = 0.0;
    for (index r = 0; r < tile.rows() && sum < bound; ++r) {
      Lanes row{1.0f / affine.scale, static_cast<float>(codes.lowest - affine.zero_point),
                static_cast<float>(codes.highest - affine.zero_point)};
      for (index first = 0, chunk = 1; first < tile.columns(); first += lanes, ++chunk) {
        const index count = tile.columns() - first < lanes ? tile.columns() - first : lanes;
        if (tile.column_stride() == 1 && count == lanes) {
          row.add(tile.row(r) + first, lanes);
        } else {
          float values[lanes] = {};
          for (index lane = 0; lane < count; ++lane) values[lane] = tile(r, first + lane);
          row.add(values, count);
        }
        if (chunk % chunks_between_checks == 0 && sum + row.total() * scaled >= bound) return bound;
      }
      sum += row.total() * scaled;
    }
    return sum;
  }
};

static_assert(RangeRule<MseShrink>);

}  // namespace planish::inline PLANISH_ABI
