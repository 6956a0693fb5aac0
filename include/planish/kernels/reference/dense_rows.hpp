#pragma once
#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/reference/row_product.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// y = x · A for every row. x, y: rows × n, not aliased; a: n × n row-major. Each output is one sum over rising k.
template <class T>
void dense_rows(MatrixView<const T> x, const T* a, MatrixView<T> y) noexcept {
  const index n = x.columns();
  for (index r = 0; r < x.rows(); ++r)
    row_product<T>({x.row(r), x.column_stride()}, n, a, n, {y.row(r), y.column_stride()}, n);
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
