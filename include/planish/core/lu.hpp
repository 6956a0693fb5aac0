#pragma once
#include <cmath>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>

namespace planish::inline PLANISH_ABI {

/// Inverse of a row-major n × n matrix in float64 by LU with partial pivoting: for the small factors that transforms
/// carry (n up to a few hundred). Fails with `singular` when a pivot vanishes against the size of its column, and with
/// `not_finite` for NaN or infinity.
PLANISH_LAZY [[nodiscard]] Result<Array<double>> inverse(std::span<const double> matrix, index n) {
  if (n < 0 || static_cast<index>(matrix.size()) != n * n)
    return Status(ErrorCode::shape_mismatch, "inverse: ", matrix.size(), " values are not a ", n, " x ", n, " matrix");
  const auto size = static_cast<std::size_t>(n);
  Array<double> a(matrix.data(), matrix.data() + matrix.size());
  Array<double> b(size * size, 0.0);
  double largest = 0.0;
  for (double value : a) {
    if (!std::isfinite(value)) return Status(ErrorCode::not_finite, "inverse: the matrix holds NaN or infinity");
    largest = std::fmax(largest, std::fabs(value));
  }
  for (std::size_t i = 0; i < size; ++i) b[i * size + i] = 1.0;
  for (std::size_t k = 0; k < size; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k + 1; i < size; ++i)
      if (std::fabs(a[i * size + k]) > std::fabs(a[pivot * size + k])) pivot = i;
    if (!(std::fabs(a[pivot * size + k]) > largest * 1e-14))
      return Status(ErrorCode::singular, "inverse: the ", n, " x ", n, " matrix is singular (pivot ", k, ")");
    if (pivot != k)
      for (std::size_t j = 0; j < size; ++j) {
        std::swap(a[k * size + j], a[pivot * size + j]);
        std::swap(b[k * size + j], b[pivot * size + j]);
      }
    const double reciprocal = 1.0 / a[k * size + k];
    for (std::size_t j = 0; j < size; ++j) {
      a[k * size + j] *= reciprocal;
      b[k * size + j] *= reciprocal;
    }
    for (std::size_t i = 0; i < size; ++i) {
      const double factor = a[i * size + k];
      if (i == k || factor == 0.0) continue;
      for (std::size_t j = 0; j < size; ++j) {
        a[i * size + j] -= factor * a[k * size + j];
        b[i * size + j] -= factor * b[k * size + j];
      }
    }
  }
  return b;
}

}  // namespace planish::inline PLANISH_ABI
