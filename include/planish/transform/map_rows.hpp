#pragma once
#include <cstring>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// y(r, c) = f(x(r, c), parameters[c]), x, y and the parameters apart; vectorised at -O2 where rows are
/// dense.
template <class T, class P, class F>
void map_rows(MatrixView<const T> x, const P* __restrict parameters, MatrixView<T> y, const F& f) noexcept {
  constexpr index run = 16;
  const index columns = x.columns();
  const index whole = x.has_dense_rows() && y.has_dense_rows() ? columns - columns % run : 0;
  for (index r = 0; r < x.rows(); ++r) {
    const T* __restrict in = x.row(r);
    T* __restrict out = y.row(r);
#if defined(__clang__)  // vectorises a plain loop and unrolls one of fixed length into scalars; GCC at -O2 is the
                        // reverse
    for (index c = 0; c < whole; ++c) out[c] = f(in[c], parameters[c]);
#else
    for (index first = 0; first < whole; first += run) {
      T values[run];
      for (index j = 0; j < run; ++j) values[j] = f(in[first + j], parameters[first + j]);
      std::memcpy(out + first, values, sizeof values);
    }
#endif
    for (index c = whole; c < columns; ++c) out[c * y.column_stride()] = f(in[c * x.column_stride()], parameters[c]);
  }
}

/// y = x, any strides, x and y apart.
template <class T>
void copy_rows(MatrixView<const T> x, MatrixView<T> y) noexcept {
  if (x.empty()) return;
  const bool dense = x.has_dense_rows() && y.has_dense_rows();
  for (index r = 0; r < x.rows(); ++r)
    if (dense)
      std::memcpy(y.row(r), x.row(r), static_cast<std::size_t>(x.columns()) * sizeof(T));
    else
      for (index c = 0; c < x.columns(); ++c) y(r, c) = x(r, c);
}

}  // namespace planish::inline PLANISH_ABI::detail
