#pragma once
// Kronecker transforms of bfloat16 terms: by matrix tiles where there are any, else by floats, with the same bits.
#include <algorithm>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/tile_permission.hpp>
#include <planish/kernels/cpu/kronecker_joint.hpp>
#include <planish/kernels/cpu/kronecker_tiles.hpp>
#include <planish/kernels/cpu/paired_product.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/reference/kronecker_bfloat16.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// One dense row in floats.
PLANISH_LAZY inline void kronecker_bfloat16_row(const float* x, const Bfloat16FactorsView& f, float* y,
                                                float* scratch) noexcept {
  const index n1 = f.n1, n2 = f.n2, stride = PairTiles{n1, n2}.stride();
  float *const terms = scratch, *const between = scratch + n1 * stride;
  if (f.right != nullptr) {
    store_bfloat16_terms(x, n1 * n2, terms);
    const bool ends = f.left == nullptr;
    paired_product({terms, n2, 1, f.right, stride, ends ? y : between, ends ? n2 : stride, n1, n2, ends ? n2 : stride});
    if (ends) return;
    store_bfloat16_terms(between, n1 * stride, between);
  } else {
    for (index i = 0; i < n1; ++i) {
      store_bfloat16_terms(x + i * n2, n2, between + i * stride);
      std::fill(between + i * stride + n2, between + (i + 1) * stride, 0.0f);
    }
  }
  paired_product({f.left, 1, n1, between, stride, y, n2, n1, n1, n2});
}

/// Both factors null: nothing is rounded.
[[nodiscard]] inline bool is_identity(const Bfloat16FactorsView& f) noexcept {
  return f.left == nullptr && f.right == nullptr;
}

#if defined(PLANISH_HAS_AMX_BF16)
PLANISH_LAZY void kronecker_tile_rows(MatrixView<const float> x, const Bfloat16FactorsView& f, MatrixView<float> y,
                                      std::span<float> scratch) noexcept {
  const index n = f.n1 * f.n2;
  KroneckerTiles(f, scratch).run(x, [&](index r, const float* result) { copy_run(result, y.row(r), n); });
}

PLANISH_LAZY [[nodiscard]] index kronecker_tile_codes(const RowsToCodes& job, const Bfloat16FactorsView& f) noexcept {
  const index n = f.n1 * f.n2;
  index bad_rows = 0;
  KroneckerTiles tiles(f, job.scratch);
  RowOnItsWay before;
  tiles.run(job.x, [&](index r, const float* result) {
    const RowOnItsWay row(result, 1, n, job.quantizer);
    if (!tiles.keeps_results()) {
      bad_rows += row.write(job.out, r) ? 0 : 1;
      return;
    }
    if (r > 0) bad_rows += before.write(job.out, r - 1) ? 0 : 1;
    before = row;
  });
  if (tiles.keeps_results() && job.x.rows() > 0) bad_rows += before.write(job.out, job.x.rows() - 1) ? 0 : 1;
  return bad_rows;
}
#endif

}  // namespace detail

/// Every row by reference::kronecker_bfloat16_rows, to the bit.
PLANISH_ENTRY void kronecker_bfloat16_rows(MatrixView<const float> x, const Bfloat16FactorsView& factors,
                                           MatrixView<float> y, std::span<float> scratch) noexcept {
  if (!x.has_dense_rows() || !y.has_dense_rows() || detail::is_identity(factors))
    return reference::kronecker_bfloat16_rows(x, factors, y, scratch);
#if defined(PLANISH_HAS_AMX_BF16)
  if (isa::tiles_are_enabled()) {
    // Blocks of a map within heads are rows like any other: they fill tiles of 16.
    const index n = factors.n1 * factors.n2, all = x.rows() * factors.n1, whole = all / 16;
    if (factors.left == nullptr && x.row_stride() == n && y.row_stride() == n) {
      Bfloat16FactorsView some = factors;
      const index n2 = factors.n2, rest = all % 16;
      some.n1 = 16;
      if (whole > 0) detail::kronecker_tile_rows({x.data(), whole, 16 * n2}, some, {y.data(), whole, 16 * n2}, scratch);
      some.n1 = rest;
      const index done = whole * 16 * n2;
      if (rest > 0)
        detail::kronecker_tile_rows({x.data() + done, 1, rest * n2}, some, {y.data() + done, 1, rest * n2}, scratch);
      return;
    }
    return detail::kronecker_tile_rows(x, factors, y, scratch);
  }
#endif
  for (index r = 0; r < x.rows(); ++r) detail::kronecker_bfloat16_row(x.row(r), factors, y.row(r), scratch.data());
}

/// The codes of these rows, each quantized where it was made. Returns as quantize_rows does.
PLANISH_ENTRY index kronecker_bfloat16_codes(const RowsToCodes& job, const Bfloat16FactorsView& factors) noexcept {
#if defined(PLANISH_HAS_AMX_BF16)
  if (isa::tiles_are_enabled() && !detail::is_identity(factors)) return detail::kronecker_tile_codes(job, factors);
#endif
  kronecker_bfloat16_rows(job.x, factors, job.room, job.scratch);
  return quantize_rows(MatrixView<const float>(job.room), job.quantizer, job.out);
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
