#pragma once
// Kronecker products whose operands are terms of bfloat16: the twin of every kernel that computes them.
#include <algorithm>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/bfloat16_term.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/core/rescale.hpp>
#include <planish/packing/bfloat16_factors.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// Scratch elements of kronecker_bfloat16_rows on every backend: in tiles, two tiles of rows as terms and of what lies
/// between the factors, two rows of that as pairs of terms and three of results; or a row and what lies between as
/// floats.
[[nodiscard]] constexpr index kronecker_bfloat16_scratch_size(index n1, index n2) noexcept {
  constexpr index line = 16;
  const PairTiles tiles{n1, n2};
  const index most = std::max<index>(n1, 16), height = 16, padded = PairTiles::row_tiles(most) * height;
  const index rows = height * (PairTiles::blocks(n2) * line + tiles.stride());
  const index pairs = PairTiles::blocks(n1) * line * tiles.stride(), results = padded * tiles.stride() + line;
  return std::max(2 * (rows + pairs) + 3 * results, 2 * n1 * tiles.stride()) + line;
}

/// Σ over rising blocks of (Σ over even k + Σ over odd k) of a_k · b_k: bfloat16_block_terms.
template <class A, class B>
[[nodiscard]] float bfloat16_sum(index terms, const A& a, const B& b) noexcept {
  float sum = 0.0f;
  for (index block = 0; block < terms; block += bfloat16_block_terms) {
    const index end = std::min<index>(block + bfloat16_block_terms, terms);
    float partial[2] = {0.0f, 0.0f};
    for (index k = block; k < end; ++k) partial[k % 2] = multiply_add(a(k), b(k), partial[k % 2]);
    sum += partial[0] + partial[1];
  }
  return sum;
}

/// Every row, reshaped row-major to M (n1 × n2), becomes Lᵀ · (M · R), right factor first. Each product rounds both its
/// operands by bfloat16_term and adds as bfloat16_sum does; a factor that is the identity leaves its operand as it is.
/// x, y: rows × n1·n2, not aliased. Scratch: kronecker_bfloat16_scratch_size elements.
inline void kronecker_bfloat16_rows(MatrixView<const float> x, const Bfloat16FactorsView& factors, MatrixView<float> y,
                                    std::span<float> scratch) noexcept {
  const index n1 = factors.n1, n2 = factors.n2, stride = PairTiles{n1, n2}.stride();
  float* const between = scratch.data();
  for (index r = 0; r < x.rows(); ++r) {
    for (index i = 0; i < n1; ++i)
      for (index j = 0; j < n2; ++j)
        between[i * n2 + j] = factors.right == nullptr
                                  ? x(r, i * n2 + j)
                                  : bfloat16_sum(
                                        n2, [&](index k) { return bfloat16_term(x(r, i * n2 + k)); },
                                        [&](index k) { return factors.right[k * stride + j]; });
    for (index i = 0; i < n1; ++i)
      for (index j = 0; j < n2; ++j)
        y(r, i * n2 + j) = factors.left == nullptr ? between[i * n2 + j]
                                                   : bfloat16_sum(
                                                         n1, [&](index k) { return factors.left[k * n1 + i]; },
                                                         [&](index k) { return bfloat16_term(between[k * n2 + j]); });
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
