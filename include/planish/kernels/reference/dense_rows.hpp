#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// y = x · A for every row. x, y: rows × n, not aliased; a: n × n row-major. Each output is one sum over rising k.
template <class T>
void dense_rows(MatrixView<const T> x, const T* a, MatrixView<T> y) noexcept {
  const index n = x.columns();
  for (index r = 0; r < x.rows(); ++r) {
    for (index c = 0; c < n; ++c) y(r, c) = T(0);
    for (index k = 0; k < n; ++k) {
      const T value = x(r, k);
      const T* row = a + k * n;
      for (index c = 0; c < n; ++c) y(r, c) = multiply_add(value, row[c], y(r, c));
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
