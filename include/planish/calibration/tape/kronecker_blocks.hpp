#pragma once
// What a Kronecker transform and its gradients do to a block of rows, in float and in float64. A row holds a matrix
// n1 × n2; rows follow one another without gaps, so that a block is also a matrix of count · n1 rows of n2.
#include <algorithm>
#include <span>
#include <type_traits>

#include <planish/calibration/tape/lanes.hpp>
#include <planish/calibration/tape/row_blocks.hpp>
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/kronecker_joint.hpp>
#include <planish/kernels/cpu/row_dots.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::calibration::tape::detail {

/// c = p · q; p of any strides, q and c with dense rows.
PLANISH_LAZY void block_product(MatrixView<const float> p, MatrixView<const float> q, MatrixView<float> c) noexcept {
  kernels::cpu::small_product({p.data(), p.row_stride(), p.column_stride(), q.data(), q.row_stride(), c.data(),
                               c.row_stride(), p.rows(), p.columns(), q.columns()});
}
PLANISH_LAZY void block_product(MatrixView<const double> p, MatrixView<const double> q, MatrixView<double> c) noexcept {
  for (index i = 0; i < p.rows(); ++i) {
    std::fill_n(c.row(i), q.columns(), 0.0);
    for (index k = 0; k < p.columns(); ++k)
      for (index j = 0; j < q.columns(); ++j) c(i, j) += p(i, k) * q(k, j);
  }
}

/// Every row of y is leftᵀ · M for the matrix M in that row of x. Scratch: left_factor_scratch elements.
PLANISH_LAZY void apply_left_factor(MatrixView<const float> x, index n1, const float* left, MatrixView<float> y,
                                    std::span<float> scratch) noexcept {
  const index n2 = x.columns() / n1;
  if (n2 < kernels::cpu::float_lanes) return kernels::cpu::kronecker_rows(x, n1, n2, left, nullptr, y, scratch);
  for (index r = 0; r < x.rows(); ++r)
    kernels::cpu::small_product({left, 1, n1, x.row(r), n2, y.row(r), n2, n1, n1, n2});
}
PLANISH_LAZY void apply_left_factor(MatrixView<const double> x, index n1, const double* left, MatrixView<double> y,
                                    std::span<double> scratch) noexcept {
  kernels::reference::kronecker_rows(x, n1, x.columns() / n1, left, static_cast<const double*>(nullptr), y, scratch);
}
[[nodiscard]] inline index left_factor_scratch(index n1, index n2) noexcept {
  return kernels::reference::kronecker_scratch_size(n1, n2);
}

/// How many matrices of n2 columns lie abreast in `lay_abreast`, to fill vectors: 1, 2 or 4.
template <class T>
[[nodiscard]] constexpr index matrices_abreast(index n2) noexcept {
  return std::is_same_v<T, float> ? kernels::cpu::detail::joint_rows(n2) : 1;
}

/// Writes the n1 × n2 matrices in the rows of x as n1 × (abreast · n2) matrices; zeros stand for those that are missing
/// in the last.
PLANISH_LAZY void lay_abreast(MatrixView<const float> x, index n1, index abreast, float* to) noexcept {
  const index n2 = x.columns() / n1, width = abreast * n2;
  for (index first = 0; first < x.rows(); first += abreast, to += n1 * width)
    for (index t = 0; t < abreast; ++t)
      for (index i = 0; i < n1; ++i) {
        float* const at = to + i * width + t * n2;
        if (first + t < x.rows())
          kernels::cpu::detail::copy_run(x.row(first + t) + i * n2, at, n2);
        else
          std::fill_n(at, n2, 0.0f);
      }
}
PLANISH_LAZY void lay_abreast(MatrixView<const double> x, index, index, double* to) noexcept {
  std::copy_n(x.data(), x.size(), to);
}

/// c (n1 × n1) = Σ A · Bᵀ over `count` matrices n1 × depth that lie one behind the other at a and at b.
PLANISH_LAZY void sum_left_products(const float* a, const float* b, index count, index n1, index depth,
                                    float* c) noexcept {
  kernels::cpu::row_dots({a, b, count, n1, n1, depth, c});
}
PLANISH_LAZY void sum_left_products(const double* a, const double* b, index count, index n1, index depth,
                                    double* c) noexcept {
  std::fill_n(c, n1 * n1, 0.0);
  for (; count > 0; --count, a += n1 * depth, b += n1 * depth)
    for (index i = 0; i < n1; ++i)
      for (index j = 0; j < n1; ++j)
        for (index k = 0; k < depth; ++k) c[i * n1 + j] += a[i * depth + k] * b[j * depth + k];
}

/// to = or += the sum of `count` matrices that lie one behind the other, in their order. Destroys the first.
template <class T>
void sum_partials(T* partials, index count, GradientTarget<T> to) noexcept {
  const index size = to.at.size(), columns = to.at.columns();
  for (index p = 1; p < count; ++p)
    for_lanes<T>(size, [&](auto at) { accumulate<T>(load(partials + p * size, at), partials, at, false); });
  for (index r = 0; r < to.at.rows(); ++r)
    for_lanes<T>(columns, [&](auto at) {
      accumulate<T>(count > 0 ? load(partials + r * columns, at) : Lanes<T>(T{}), to.at.row(r), at, to.fresh);
    });
}

}  // namespace planish::inline PLANISH_ABI::calibration::tape::detail
