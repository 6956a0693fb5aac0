#pragma once
// Matrices and quantization in plain loops and in double: what faster code is compared with.
#include <algorithm>
#include <cmath>
#include <vector>

#include <planish/core/scheme.hpp>

namespace llama::test {

/// rows × columns, row by row.
struct Matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<double> values = {};

  Matrix(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  Matrix(const std::vector<float>& from, std::size_t c)
      : rows(from.size() / c), columns(c), values(from.begin(), from.end()) {}
  double& at(std::size_t r, std::size_t c) { return values[r * columns + c]; }
  [[nodiscard]] double at(std::size_t r, std::size_t c) const { return values[r * columns + c]; }

  [[nodiscard]] std::vector<double> column_magnitudes() const {
    std::vector<double> largest(columns);
    for (std::size_t i = 0; i < values.size(); ++i)
      largest[i % columns] = std::max(largest[i % columns], std::fabs(values[i]));
    return largest;
  }
  [[nodiscard]] double row_magnitude(std::size_t r) const {
    double largest = 0.0;
    for (std::size_t c = 0; c < columns; ++c) largest = std::max(largest, std::fabs(at(r, c)));
    return largest;
  }
};

inline Matrix identity(std::size_t n) {
  Matrix made(n, n);
  for (std::size_t i = 0; i < n; ++i) made.at(i, i) = 1.0;
  return made;
}

inline Matrix square(const std::vector<float>& values, std::size_t size_if_empty) {
  if (values.empty()) return identity(size_if_empty);
  return {values, static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(values.size()))))};
}

/// x B, or x Bᵀ.
inline Matrix times(const Matrix& x, const Matrix& b, bool transposed = false) {
  Matrix y(x.rows, transposed ? b.rows : b.columns);
  for (std::size_t r = 0; r < x.rows; ++r)
    for (std::size_t c = 0; c < y.columns; ++c)
      for (std::size_t i = 0; i < x.columns; ++i) y.at(r, c) += x.at(r, i) * (transposed ? b.at(c, i) : b.at(i, c));
  return y;
}

/// left ⊗ right as one matrix.
inline Matrix kronecker(const Matrix& left, const Matrix& right) {
  Matrix made(left.rows * right.rows, left.rows * right.rows);
  for (std::size_t r = 0; r < made.rows; ++r)
    for (std::size_t c = 0; c < made.columns; ++c)
      made.at(r, c) = left.at(r / right.rows, c / right.rows) * right.at(r % right.rows, c % right.rows);
  return made;
}

/// Of a row: bits, symmetry and clip.
struct Quantization {
  int bits = 4;
  bool asymmetric = false;
  planish::ClipPair clip = {};
};

/// The values of the codes of row r.
inline void quantize_row(Matrix& x, std::size_t r, const Quantization& q) {
  double low = 0.0, high = 0.0;
  for (std::size_t c = 0; c < x.columns; ++c) low = std::min(low, x.at(r, c)), high = std::max(high, x.at(r, c));
  low *= static_cast<double>(q.clip.negative);
  high *= static_cast<double>(q.clip.positive);
  const double most = std::pow(2.0, q.asymmetric ? q.bits : q.bits - 1) - 1.0;
  const double scale = (q.asymmetric ? high - low : std::max(high, -low)) / most;
  if (scale == 0.0) return;
  const double zero = q.asymmetric ? std::rint(-low / scale) : 0.0, least = q.asymmetric ? 0.0 : -most - 1.0;
  for (std::size_t c = 0; c < x.columns; ++c)
    x.at(r, c) = (std::clamp(std::rint(x.at(r, c) / scale) + zero, least, most) - zero) * scale;
}

inline Matrix quantized(Matrix x, const Quantization& q) {
  for (std::size_t r = 0; r < x.rows; ++r) quantize_row(x, r, q);
  return x;
}

/// The squared distance; adds the squared size of b to `size`.
inline double distance(const Matrix& a, const Matrix& b, double& size) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    sum += std::pow(a.values[i] - b.values[i], 2);
    size += b.values[i] * b.values[i];
  }
  return sum;
}

/// Mean over rows of the kurtosis of each.
inline double kurtosis(const Matrix& x) {
  double sum = 0.0;
  const auto n = static_cast<double>(x.columns);
  for (std::size_t r = 0; r < x.rows; ++r) {
    double mean = 0.0, variance = 0.0, fourth = 0.0;
    for (std::size_t c = 0; c < x.columns; ++c) mean += x.at(r, c) / n;
    for (std::size_t c = 0; c < x.columns; ++c) {
      variance += std::pow(x.at(r, c) - mean, 2) / n;
      fourth += std::pow(x.at(r, c) - mean, 4) / n;
    }
    sum += fourth / variance / variance;
  }
  return sum / static_cast<double>(x.rows);
}

}  // namespace llama::test
