#pragma once
// The laws that every transform stage keeps, in float64: run them on a new stage with `laws::check(stage, seed)`.
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/transform/fold.hpp>

namespace laws {

using planish::index;
using planish::MatrixView;

/// Row-major matrix that owns its memory.
template <class T>
class Matrix {
 public:
  Matrix(index rows, index columns, T value = T(0))
      : rows_(rows), columns_(columns), values_(static_cast<std::size_t>(rows * columns), value) {}
  static Matrix random(index rows, index columns, std::uint64_t seed) {
    Matrix m(rows, columns);
    planish::Random source(seed);
    for (T& value : m.values_) value = static_cast<T>(source.normal());
    return m;
  }

  [[nodiscard]] index rows() const { return rows_; }
  [[nodiscard]] index columns() const { return columns_; }
  [[nodiscard]] T& operator()(index r, index c) { return values_[static_cast<std::size_t>(r * columns_ + c)]; }
  [[nodiscard]] T operator()(index r, index c) const { return values_[static_cast<std::size_t>(r * columns_ + c)]; }
  [[nodiscard]] MatrixView<T> view() { return {values_.data(), rows_, columns_}; }
  [[nodiscard]] MatrixView<const T> view() const { return {values_.data(), rows_, columns_}; }
  [[nodiscard]] const std::vector<T>& values() const { return values_; }

 private:
  index rows_, columns_;
  std::vector<T> values_;
};

/// T(x). Scratch and result start as NaN, so whatever is read before it is written shows; a guard behind scratch shows
/// what is written beyond the size that the stage asks for.
template <class S, class T>
Matrix<T> apply(const S& stage, const Matrix<T>& x) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr std::size_t guard = 32;
  Matrix<T> y(x.rows(), x.columns(), nan);
  const auto size = static_cast<std::size_t>(stage.scratch_size(x.rows()));
  std::vector<T> scratch(size + guard, nan);
  for (std::size_t i = size; i < scratch.size(); ++i) scratch[i] = T(42);
  stage.apply(x.view(), y.view(), std::span<T>(scratch).first(size));
  for (std::size_t i = size; i < scratch.size(); ++i) REQUIRE(scratch[i] == T(42));
  return y;
}

/// x · wᵀ + bias.
inline Matrix<double> linear(const Matrix<double>& x, const Matrix<double>& w, std::span<const double> bias) {
  Matrix<double> y(x.rows(), w.rows());
  for (index r = 0; r < x.rows(); ++r)
    for (index o = 0; o < w.rows(); ++o) {
      y(r, o) = bias[static_cast<std::size_t>(o)];
      for (index c = 0; c < x.columns(); ++c) y(r, o) += x(r, c) * w(o, c);
    }
  return y;
}

/// Largest difference, relative to the root mean square of the first matrix.
template <class T>
double difference(const Matrix<T>& a, const Matrix<T>& b) {
  double square = 0.0, worst = 0.0;
  for (std::size_t i = 0; i < a.values().size(); ++i) {
    const double left = static_cast<double>(a.values()[i]), right = static_cast<double>(b.values()[i]);
    square += left * left;
    worst = std::fmax(worst, std::isfinite(right) ? std::fabs(left - right) : std::numeric_limits<double>::infinity());
  }
  const double size = std::sqrt(square / static_cast<double>(a.values().empty() ? 1 : a.values().size()));
  return size > 0.0 ? worst / size : worst;
}

inline constexpr double tolerance = 1e-10;  // float64, condition numbers of at most a few hundred

/// T(X) W̃ᵀ + b̃ = X Wᵀ + b.
template <planish::TransformStage S>
void check_duality(const S& stage, std::uint64_t seed) {
  const index n = stage.size();
  const auto x = Matrix<double>::random(3, n, seed), w = Matrix<double>::random(5, n, seed + 1);
  Matrix<double> folded = w;
  const std::vector<double> bias{0.5, -1.0, 2.0, 0.0, 3.0};
  std::vector<double> folded_bias = bias;
  const planish::Status status = planish::fold_into_weights(stage, folded.view(), folded_bias);
  REQUIRE_MESSAGE(status.ok(), status.message());
  CHECK(difference(linear(x, w, bias), linear(apply(stage, x), folded, folded_bias)) < tolerance);
}

/// A (A⁻ᵀ)ᵀ = I, row by row: linear parts of the stage and of its dual on unit rows (a few of them where n is large).
template <planish::TransformStage S>
void check_inverse(const S& stage) {
  const index n = stage.size(), step = n > 100 ? n / 7 : 1;
  Matrix<double> units((n + step - 1) / step, n);
  for (index i = 0; i < units.rows(); ++i) units(i, i * step) = 1.0;
  Matrix<double> forward = apply(stage, units), backward = apply(stage.dual(), units);
  const Matrix<double> origin = apply(stage, Matrix<double>(1, n));
  for (index i = 0; i < units.rows(); ++i)
    for (index j = 0; j < units.rows(); ++j) {
      double dot = i == j ? -1.0 : 0.0;
      for (index c = 0; c < n; ++c) dot += (forward(i, c) - origin(0, c)) * backward(j, c);
      CHECK(std::fabs(dot) < tolerance);
    }
}

/// Rows do not know of each other, in float to the bit, at any row stride; no rows are fine.
template <planish::TransformStage S>
void check_rows(const S& stage, std::uint64_t seed) {
  const index n = stage.size(), rows = 11, stride = n + 3;
  const auto x = Matrix<float>::random(rows, stride, seed);
  Matrix<float> y(rows, stride, 7.0f);
  std::vector<float> scratch(static_cast<std::size_t>(stage.scratch_size(rows)));
  stage.apply(x.view().middle_columns(0, n), y.view().middle_columns(0, n), std::span<float>(scratch));
  for (index r = 0; r < rows; ++r) {
    Matrix<float> row(1, n);
    for (index c = 0; c < n; ++c) row(0, c) = x(r, c);
    const Matrix<float> alone = apply(stage, row);
    bool equal = true;
    for (index c = 0; c < n; ++c) equal = equal && alone(0, c) == y(r, c);
    CHECK(equal);
    for (index c = n; c < stride; ++c) CHECK(y(r, c) == 7.0f);
  }
  (void)apply(stage, Matrix<float>(0, n));
}

/// Float32 follows float64 as closely as its precision allows.
template <planish::TransformStage S>
void check_precisions(const S& stage, std::uint64_t seed) {
  const auto x = Matrix<float>::random(3, stage.size(), seed);
  Matrix<double> exact(3, stage.size());
  for (index r = 0; r < 3; ++r)
    for (index c = 0; c < stage.size(); ++c) exact(r, c) = static_cast<double>(x(r, c));
  const Matrix<float> single = apply(stage, x);
  Matrix<double> widened(3, stage.size());
  for (index r = 0; r < 3; ++r)
    for (index c = 0; c < stage.size(); ++c) widened(r, c) = static_cast<double>(single(r, c));
  CHECK(difference(apply(stage, exact), widened) < 1e-4);
}

/// All laws of one stage.
template <planish::TransformStage S>
void check(const S& stage, std::uint64_t seed) {
  INFO("n ", stage.size(), ", seed ", seed);
  check_duality(stage, seed);
  check_inverse(stage);
  check_rows(stage, seed);
  check_precisions(stage, seed);
}

/// dual(A B) = dual(A) dual(B), in this order: Transform{a, b} acts as a, then b, and so does its dual.
template <planish::TransformStage A, planish::TransformStage B>
void check_composition(const A& a, const B& b, std::uint64_t seed) {
  INFO("n ", a.size(), ", seed ", seed);
  const planish::Transform both{a, b};
  const auto x = Matrix<double>::random(20, a.size(), seed);
  CHECK(difference(apply(b, apply(a, x)), apply(both, x)) < tolerance);
  CHECK(difference(apply(b.dual(), apply(a.dual(), x)), apply(both.dual(), x)) < tolerance);
  check(both, seed);
}

}  // namespace laws
