#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/lu.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/result.hpp>
#include <planish/kernels/reference/dense_rows.hpp>
#include <planish/transform/parameter.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// x A with any invertible A, kept as the pair A and A⁻ᵀ; the dual is the pair swapped. FlatQuant's factors
/// (arXiv 2410.09426) are of this kind.
class Dense {
 public:
  static constexpr const char* name = "dense";

  /// From row-major n × n values, rounded to float32; A⁻ᵀ is computed from the rounded values in float64. Refuses
  /// singular matrices, NaN and infinity.
  template <class T>
  [[nodiscard]] static Result<Dense> make(std::span<const T> matrix, index size) {
    if (size < 1 || static_cast<index>(matrix.size()) != size * size)
      return Status(ErrorCode::shape_mismatch, "dense: ", matrix.size(), " values are not a ", size, " x ", size,
                    " matrix");
    Parameter forward(detail::to_floats(matrix));
    auto inverted = inverse(forward.exact(), size);
    if (!inverted) return inverted.status();
    Array<double> transposed(inverted->size());
    for (index i = 0; i < size; ++i)
      for (index j = 0; j < size; ++j)
        transposed[static_cast<std::size_t>(j * size + i)] = (*inverted)[static_cast<std::size_t>(i * size + j)];
    Parameter backward(std::move(transposed));
    if (detail::first_not_finite(backward.single()) >= 0)
      return Status(ErrorCode::singular, "dense: the inverse of the ", size, " x ", size, " matrix overflows float32");
    return Dense(size, std::move(forward), std::move(backward));
  }
  PLANISH_LAZY [[nodiscard]] static Result<Dense> make(const Array<float>& matrix, index size) {
    return make(std::span<const float>(matrix.data(), matrix.size()), size);
  }

  /// From a given pair A and A⁻ᵀ (files of FlatQuant call the latter "inv"). Refuses pairs whose product A · (A⁻ᵀ)ᵀ is
  /// further than `tolerance` from I in any entry.
  PLANISH_LAZY [[nodiscard]] static Result<Dense> make(std::span<const float> matrix,
                                                       std::span<const float> inverse_transpose, index size,
                                                       double tolerance = 1e-3) {
    if (size < 1 || static_cast<index>(matrix.size()) != size * size || matrix.size() != inverse_transpose.size())
      return Status(ErrorCode::shape_mismatch, "dense: ", matrix.size(), " and ", inverse_transpose.size(),
                    " values are not a pair of ", size, " x ", size, " matrices");
    if (detail::first_not_finite(matrix) >= 0 || detail::first_not_finite(inverse_transpose) >= 0)
      return Status(ErrorCode::not_finite, "dense: the pair of matrices holds NaN or infinity");
    for (index i = 0; i < size; ++i)
      for (index j = 0; j < size; ++j) {
        double dot = i == j ? -1.0 : 0.0;
        for (index k = 0; k < size; ++k)
          dot += static_cast<double>(matrix[static_cast<std::size_t>(i * size + k)]) *
                 static_cast<double>(inverse_transpose[static_cast<std::size_t>(j * size + k)]);
        if (!(std::fabs(dot) <= tolerance))
          return Status(ErrorCode::invalid_argument,
                        "dense: the second matrix is not the inverse transpose of the first (row ", i, ", column ", j,
                        " of their product)");
      }
    return Dense(
        size, Parameter(Array<float>(matrix.data(), matrix.data() + matrix.size())),
        Parameter(Array<float>(inverse_transpose.data(), inverse_transpose.data() + inverse_transpose.size())));
  }

  /// U · diag(s) · V with random orthogonal U, V and s from √condition down to 1 / √condition: well inside the general
  /// linear group, neither orthogonal nor symmetric. For tests and starting points; condition ≥ 1, size ≥ 1.
  PLANISH_LAZY [[nodiscard]] static Dense random(index size, std::uint64_t seed, double condition = 4.0) {
    const Array<double> u = detail::random_orthogonal(size, seed);
    const Array<double> v = detail::random_orthogonal(size, ~seed);
    Array<double> forward(u.size(), 0.0);
    for (index k = 0; k < size; ++k) {
      const double position = size == 1 ? 0.5 : static_cast<double>(k) / static_cast<double>(size - 1);
      const double s = std::pow(condition, 0.5 - position);
      for (index i = 0; i < size; ++i) {
        const double left = u[static_cast<std::size_t>(i * size + k)];
        for (index j = 0; j < size; ++j)
          forward[static_cast<std::size_t>(i * size + j)] += left * s * v[static_cast<std::size_t>(k * size + j)];
      }
    }
    auto stage = make(std::span<const double>(forward.data(), forward.size()), size);
    return *std::move(stage);
  }

  [[nodiscard]] index size() const noexcept { return size_; }
  [[nodiscard]] index scratch_size(index /*rows*/) const noexcept { return 0; }

  template <class T>
  void apply(MatrixView<const T> x, MatrixView<T> y, std::span<T> /*scratch*/) const noexcept {
    kernels::reference::dense_rows(x, matrix<T>(), y);
  }

  PLANISH_LAZY [[nodiscard]] Dense dual() const { return Dense(size_, inverse_transpose_, matrix_); }

  /// A, n × n row-major.
  template <class T>
  [[nodiscard]] const T* matrix() const noexcept {
    return matrix_.data<T>();
  }

  /// A⁻ᵀ, n × n row-major.
  template <class T>
  [[nodiscard]] const T* inverse_transpose() const noexcept {
    return inverse_transpose_.data<T>();
  }

  template <class Visitor>
  void for_each_parameter(Visitor&& visitor) const {
    visitor("matrix", matrix_.single(), size_, size_);
  }

 private:
  Dense(index size, Parameter matrix, Parameter inverse_transpose)
      : size_(size), matrix_(std::move(matrix)), inverse_transpose_(std::move(inverse_transpose)) {}

  index size_;
  Parameter matrix_;             // n × n
  Parameter inverse_transpose_;  // n × n
};

static_assert(TransformStage<Dense> && HasMatrix<Dense>);

}  // namespace planish::inline PLANISH_ABI
