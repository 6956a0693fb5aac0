#pragma once
// What a Kronecker transform and its gradients do to a block of rows, in float and in float64. A row holds a matrix
// n1 × n2; rows follow one another without gaps, so that a block is also a matrix of count · n1 rows of n2.
#include <span>

#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/kernels/cpu/kronecker_rows.hpp>
#include <planish/kernels/cpu/row_dots.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// c = p · q; p of any strides, q and c with dense rows.
inline void block_product(MatrixView<const float> p, MatrixView<const float> q, MatrixView<float> c) noexcept {
  kernels::cpu::small_product({p.data(), p.row_stride(), p.column_stride(), q.data(), q.row_stride(), c.data(),
                               c.row_stride(), p.rows(), p.columns(), q.columns()});
}
inline void block_product(MatrixView<const double> p, MatrixView<const double> q, MatrixView<double> c) noexcept {
  for (index i = 0; i < p.rows(); ++i) {
    std::fill_n(c.row(i), q.columns(), 0.0);
    for (index k = 0; k < p.columns(); ++k)
      for (index j = 0; j < q.columns(); ++j) c(i, j) += p(i, k) * q(k, j);
  }
}

/// Every row of y is leftᵀ · M for the matrix M in that row of x. Scratch: left_factor_scratch elements.
inline void apply_left_factor(MatrixView<const float> x, index n1, const float* left, MatrixView<float> y,
                              std::span<float> scratch) noexcept {
  kernels::cpu::kronecker_rows(x, n1, x.columns() / n1, left, nullptr, y, scratch);
}
inline void apply_left_factor(MatrixView<const double> x, index n1, const double* left, MatrixView<double> y,
                              std::span<double> scratch) noexcept {
  kernels::reference::kronecker_rows(x, n1, x.columns() / n1, left, static_cast<const double*>(nullptr), y, scratch);
}
[[nodiscard]] inline index left_factor_scratch(index n1, index n2) noexcept {
  return kernels::reference::kronecker_scratch_size(n1, n2);
}

/// c (n1 × n1) = Σ over the rows of A · Bᵀ, for the matrices A and B in that row of a and of b.
inline void sum_left_products(MatrixView<const float> a, MatrixView<const float> b, index n1, float* c) noexcept {
  kernels::cpu::row_dots({a.data(), b.data(), a.rows(), n1, n1, a.columns() / n1, c});
}
inline void sum_left_products(MatrixView<const double> a, MatrixView<const double> b, index n1, double* c) noexcept {
  const index n2 = a.columns() / n1;
  std::fill_n(c, n1 * n1, 0.0);
  for (index t = 0; t < a.rows(); ++t)
    for (index i = 0; i < n1; ++i)
      for (index j = 0; j < n1; ++j)
        for (index k = 0; k < n2; ++k) c[i * n1 + j] += a(t, i * n2 + k) * b(t, j * n2 + k);
}

/// to = or += the sum of `count` matrices that lie one behind the other, in their order. Destroys the first.
template <class T>
void sum_partials(T* partials, index count, GradientTarget<T> to) noexcept {
  const index size = to.at.size(), columns = to.at.columns();
  for (index p = 1; p < count; ++p)
    for (index i = 0; i < size; ++i) partials[i] += partials[p * size + i];
  for (index r = 0; r < to.at.rows(); ++r)
    accumulate(to.at.row(r), columns, to.fresh, [&](index c) { return count > 0 ? partials[r * columns + c] : T{}; });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
