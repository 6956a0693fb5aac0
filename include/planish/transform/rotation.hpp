#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/random.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/reference/dense_rows.hpp>
#include <planish/transform/parameter.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

/// n orthonormal rows of length n, Haar distributed: Gram–Schmidt on Gaussian rows, every row cleaned twice.
PLANISH_LAZY [[nodiscard]] Array<double> random_orthogonal(index n, std::uint64_t seed) {
  Random random(seed);
  Array<double> q(static_cast<std::size_t>(n * n));
  for (index i = 0; i < n;) {
    double* row = q.data() + i * n;
    for (index c = 0; c < n; ++c) row[c] = random.normal();
    for (int pass = 0; pass < 2; ++pass)
      for (index j = 0; j < i; ++j) {
        const double* other = q.data() + j * n;
        double dot = 0.0;
        for (index c = 0; c < n; ++c) dot += row[c] * other[c];
        for (index c = 0; c < n; ++c) row[c] -= dot * other[c];
      }
    double square = 0.0;
    for (index c = 0; c < n; ++c) square += row[c] * row[c];
    if (!(square > 1e-20)) continue;  // a row inside the span of those before: draw again
    const double factor = 1.0 / std::sqrt(square);
    for (index c = 0; c < n; ++c) row[c] *= factor;
    ++i;
  }
  return q;
}

/// Replaces q by the next Newton–Schulz iterate towards the nearest orthogonal matrix, Q ← Q + (I − Q Qᵀ) Q / 2, and
/// returns the largest entry of |I − Q Qᵀ| before the step.
PLANISH_LAZY double orthogonalize_step(Array<double>& q, index n) {
  Array<double> defect(q.size());
  double largest = 0.0;
  for (index i = 0; i < n; ++i)
    for (index j = 0; j <= i; ++j) {
      double dot = 0.0;
      for (index c = 0; c < n; ++c)
        dot += q[static_cast<std::size_t>(i * n + c)] * q[static_cast<std::size_t>(j * n + c)];
      const double value = (i == j ? 1.0 : 0.0) - dot;
      defect[static_cast<std::size_t>(i * n + j)] = defect[static_cast<std::size_t>(j * n + i)] = value;
      largest = std::fmax(largest, std::fabs(value));
    }
  if (!(largest > 1e-15)) return largest;
  Array<double> next(q);
  for (index i = 0; i < n; ++i)
    for (index k = 0; k < n; ++k) {
      const double half = 0.5 * defect[static_cast<std::size_t>(i * n + k)];
      for (index c = 0; c < n; ++c)
        next[static_cast<std::size_t>(i * n + c)] += half * q[static_cast<std::size_t>(k * n + c)];
    }
  q = std::move(next);
  return largest;
}

}  // namespace detail

/// x Q with Q orthogonal, dense: its own dual. The float path uses the float32 matrix; float64 uses the orthogonal
/// matrix nearest to it.
class Rotation {
 public:
  static constexpr const char* name = "rotation";
  static constexpr StageKind kind{.orthogonal = true};

  /// Haar distributed; the same seed gives the same matrix everywhere.
  PLANISH_LAZY [[nodiscard]] static Rotation random(index size, std::uint64_t seed) {
    return Rotation(size, Parameter(detail::random_orthogonal(size, seed)));
  }

  /// Row-major n × n matrix, orthogonal to float32 accuracy (|Q Qᵀ − I| ≤ 1e-5 entrywise); anything else is refused.
  PLANISH_LAZY [[nodiscard]] static Result<Rotation> make(std::span<const float> matrix, index size) {
    if (size < 1 || static_cast<index>(matrix.size()) != size * size)
      return Status(ErrorCode::shape_mismatch, "rotation: ", matrix.size(), " values are not a ", size, " x ", size,
                    " matrix");
    if (detail::first_not_finite(matrix) >= 0)
      return Status(ErrorCode::not_finite, "rotation: the matrix holds NaN or infinity");
    Array<double> exact(matrix.data(), matrix.data() + matrix.size());
    if (!(detail::orthogonalize_step(exact, size) <= 1e-5))
      return Status(ErrorCode::invalid_argument, "rotation: the ", size, " x ", size,
                    " matrix is not orthogonal to 1e-5; use Dense for a general invertible matrix");
    detail::orthogonalize_step(exact, size);
    return Rotation(size, Parameter(Array<float>(matrix.data(), matrix.data() + matrix.size()), std::move(exact)));
  }

  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    kernels::reference::dense_rows(x, matrix<T>(), y);
  }

  PLANISH_LAZY [[nodiscard]] Rotation dual() const { return *this; }

  /// Q, n × n row-major.
  template <class T>
  [[nodiscard]] const T* matrix() const noexcept {
    return matrix_.data<T>();
  }

  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    visitor("matrix", matrix_.single(), size_, size_);
  }

 private:
  Rotation(index size, Parameter matrix) : size_(size), matrix_(std::move(matrix)) {}

  index size_;
  Parameter matrix_;  // n × n
};

static_assert(TransformStage<Rotation> && HasMatrix<Rotation>);

}  // namespace planish::inline PLANISH_ABI
