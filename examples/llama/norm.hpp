#pragma once
#include <cmath>

#include <planish/core/matrix_view.hpp>

namespace llama {

/// RMSNorm (arXiv 1910.07467): y = x / sqrt(mean(x²) + epsilon) ⊙ gain, row by row. The sum of squares runs in eight
/// interleaved parts, in float64, because a massive token's squares would drown the others'.
inline void rms_norm(planish::MatrixView<const float> x, const float* gain, float epsilon,
                     planish::MatrixView<float> y) noexcept {
  using planish::index;
  constexpr index parts = 8;
  const index columns = x.columns(), whole = columns / parts * parts;
  for (index r = 0; r < x.rows(); ++r) {
    const float* row = x.row(r);
    float* out = y.row(r);
    double sums[parts] = {};
    for (index c = 0; c < whole; c += parts)
      for (index p = 0; p < parts; ++p) sums[p] += static_cast<double>(row[c + p]) * static_cast<double>(row[c + p]);
    for (index c = whole; c < columns; ++c)
      sums[c - whole] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    double sum = 0.0;
    for (double part : sums) sum += part;
    const auto inverse =
        static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(columns) + static_cast<double>(epsilon)));
    for (index c = 0; c < columns; ++c) out[c] = row[c] * inverse * gain[c];
  }
}

}  // namespace llama
