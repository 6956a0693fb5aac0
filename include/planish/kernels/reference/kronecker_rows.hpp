#pragma once
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/reference/row_product.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Rows that kronecker_rows may carry through the left factor together, to fill vectors that n2 columns leave partly
/// empty: at most so many on any backend.
[[nodiscard]] constexpr index kronecker_joint_rows(index n2) noexcept { return n2 % 16 == 0 || n2 > 128 ? 1 : 4; }

/// True if a backend may lay the right factor out anew, filled up to whole vectors.
[[nodiscard]] constexpr bool kronecker_has_panels(index n2) noexcept { return n2 >= 16 && n2 <= 256; }

/// Scratch elements of kronecker_rows on every backend: the rows between the two factors, and the joint result; with
/// panels the right factor too, every one on a cache line.
[[nodiscard]] constexpr index kronecker_scratch_size(index n1, index n2) noexcept {
  constexpr index line = 16;
  const index joint = kronecker_joint_rows(n2), plain = (joint > 1 ? 2 * joint : 1) * n1 * n2;
  if (!kronecker_has_panels(n2)) return plain;
  const index abreast = n2 % line == 0 ? 1 : 2, width = round_up(abreast * n2, line);
  const index panels = (abreast * n1 + n2) * width + line;
  return panels > plain ? panels : plain;
}

/// Every row, reshaped row-major to M (n1 × n2), becomes Lᵀ · (M · R): x · (L ⊗ R). The right factor comes first; each
/// output is one sum over rising k. x, y: rows × n1·n2, not aliased. left: n1 × n1, right: n2 × n2, row-major; null
/// stands for the identity.
template <class T>
void kronecker_rows(MatrixView<const T> x, index n1, index n2, const T* left, const T* right, MatrixView<T> y,
                    std::span<T> scratch) noexcept {
  T* between = scratch.data();
  for (index r = 0; r < x.rows(); ++r) {
    const index from_stride = x.column_stride(), to_stride = y.column_stride();
    for (index i = 0; i < n1; ++i) {
      const T* from = x.row(r) + i * n2 * from_stride;
      if (right != nullptr)
        row_product<T>({from, from_stride}, n2, right, n2, {between + i * n2, 1}, n2);
      else
        for (index j = 0; j < n2; ++j) between[i * n2 + j] = from[j * from_stride];
    }
    for (index i = 0; i < n1; ++i) {
      T* to = y.row(r) + i * n2 * to_stride;
      if (left != nullptr)
        row_product<T>({left + i, n1}, n1, between, n2, {to, to_stride}, n2);  // column i of L
      else
        for (index j = 0; j < n2; ++j) to[j * to_stride] = between[i * n2 + j];
    }
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
