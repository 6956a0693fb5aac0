#pragma once
#include <cmath>
#include <span>
#include <utility>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

namespace detail {

/// One base along the middle index of a row seen as outer × order × stride. Four neighbouring inputs are added as
/// (± a ± b) + (± c ± d), the fours then in rising order. Products with ±1 are exact, so contraction changes nothing.
template <class T>
void hadamard_base(const T* x, index size, const HadamardBaseView& base, index stride, T* y) noexcept {
  const index order = base.order;
  const auto factor = [](unsigned signs, unsigned bit) { return (signs >> bit & 1u) != 0 ? T(-1) : T(1); };
  for (index outer = 0; outer < size; outer += order * stride)
    for (index j = 0; j < order; ++j) {
      T* out = y + outer + j * stride;
      for (index g = 0; g < order / 4; ++g) {
        const unsigned signs = base.signs[j * (order / 4) + g];
        const T a = factor(signs, 0), b = factor(signs, 1), c = factor(signs, 2), d = factor(signs, 3);
        const T* in = x + outer + 4 * g * stride;
        for (index s = 0; s < stride; ++s) {
          const T four = (a * in[s] + b * in[s + stride]) + (c * in[s + 2 * stride] + d * in[s + 3 * stride]);
          out[s] = g == 0 ? four : out[s] + four;
        }
      }
    }
}

}  // namespace detail

/// y = (x ⊙ signs) · (H_1 ⊗ H_2 ⊗ … ⊗ H_{2^a}) / √n for every row. Order of operations, the same on every backend:
/// signs; butterflies over strides 1, 2, 4, …; bases from the last to the first; one multiplication by T(1 / √n) (as a
/// multiply-add with 0, so that zeros are positive). x, y: rows × n, not aliased; signs: n values ±1, or null.
template <class T>
void hadamard_rows(MatrixView<const T> x, const HadamardPlanView& plan, const float* signs, MatrixView<T> y,
                   std::span<T> scratch) noexcept {
  const index n = plan.size;
  const T scale = static_cast<T>(1.0 / std::sqrt(static_cast<double>(n)));
  for (index r = 0; r < x.rows(); ++r) {
    T* from = scratch.data();
    T* to = from + n;
    for (index c = 0; c < n; ++c) from[c] = signs == nullptr ? x(r, c) : x(r, c) * static_cast<T>(signs[c]);
    index stride = 1;
    for (; stride < index{1} << plan.doublings; stride *= 2)
      for (index start = 0; start < n; start += 2 * stride)
        for (index s = start; s < start + stride; ++s) {
          const T a = from[s], b = from[s + stride];
          from[s] = a + b;
          from[s + stride] = a - b;
        }
    for (index i = plan.base_count; i-- > 0;) {
      detail::hadamard_base(from, n, plan.bases[i], stride, to);
      stride *= plan.bases[i].order;
      std::swap(from, to);
    }
    for (index c = 0; c < n; ++c) y(r, c) = multiply_add(from[c], scale, T(0));
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
