#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/rescale.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// A run of elements a fixed distance apart.
template <class T>
struct Strided {
  T* data;
  index stride;
};

namespace detail {

/// `Run` outputs at once, in registers.
template <index Run, class T>
void run_product(Strided<const T> x, index depth, const T* a, index a_stride, Strided<T> y) noexcept {
  T sums[Run] = {};
  for (index k = 0; k < depth; ++k) {
    const T value = x.data[k * x.stride];
    const T* row = a + k * a_stride;
    for (index j = 0; j < Run; ++j) sums[j] = multiply_add(value, row[j], sums[j]);
  }
  for (index j = 0; j < Run; ++j) y.data[j * y.stride] = sums[j];
}

}  // namespace detail

/// y_j = Σ_k x_k · a(k, j): one row times a depth × columns matrix whose rows lie `a_stride` apart. Each output is one
/// sum over rising k, from zero.
template <class T>
void row_product(Strided<const T> x, index depth, const T* a, index a_stride, Strided<T> y, index columns) noexcept {
  index j = 0;
  const auto rest = [&] { return Strided<T>{y.data + j * y.stride, y.stride}; };
  for (; j + 16 <= columns; j += 16) detail::run_product<16, T>(x, depth, a + j, a_stride, rest());
  for (; j + 8 <= columns; j += 8) detail::run_product<8, T>(x, depth, a + j, a_stride, rest());
  for (; j < columns; ++j) detail::run_product<1, T>(x, depth, a + j, a_stride, rest());
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
