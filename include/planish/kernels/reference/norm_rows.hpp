#pragma once
#include <cmath>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI::kernels {

/// Interleaved partial sums of a row's squares: enough for every register width, folded in halves.
inline constexpr index norm_parts = 32;

/// 1 / sqrt(mean(x²) + epsilon) from the parts, which it folds: the latter half onto the first, and so on.
[[nodiscard]] inline float inverse_norm(double* parts, index columns, float epsilon) noexcept {
  for (index width = norm_parts / 2; width > 0; width /= 2)
    for (index p = 0; p < width; ++p) parts[p] += parts[p + width];
  return static_cast<float>(1.0 / std::sqrt(parts[0] / static_cast<double>(columns) + static_cast<double>(epsilon)));
}

}  // namespace planish::inline PLANISH_ABI::kernels

namespace planish::inline PLANISH_ABI::kernels::reference {

/// RMSNorm (arXiv 1910.07467): y = x / sqrt(mean(x²) + epsilon) ⊙ gain, row by row; y may be x. Squares are exact and
/// summed in float64, because a massive token's would drown the others'. Any strides.
inline void rms_norm_rows(MatrixView<const float> x, const float* gain, float epsilon, MatrixView<float> y) noexcept {
  for (index r = 0; r < x.rows(); ++r) {
    double parts[norm_parts] = {};
    for (index c = 0; c < x.columns(); ++c)
      parts[c % norm_parts] += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
    const float inverse = inverse_norm(parts, x.columns(), epsilon);
    for (index c = 0; c < x.columns(); ++c) y(r, c) = x(r, c) * inverse * gain[c];
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
