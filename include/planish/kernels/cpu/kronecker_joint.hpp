#pragma once
// Several rows side by side, so that the left factor of a Kronecker product meets full registers.
#include <planish/core/abi.hpp>
#include <planish/core/divide_up.hpp>
#include <planish/core/index.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/isa/partial.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/cpu/small_product.hpp>
#include <planish/kernels/reference/kronecker_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Vectors that `rows` rows of n2 columns take side by side.
[[nodiscard]] constexpr index joint_vectors(index rows, index n2) noexcept { return divide_up(rows * n2, float_lanes); }

/// How many rows go through the left factor side by side: 1, 2 or 4, whichever wastes the fewest lanes.
[[nodiscard]] constexpr index joint_rows(index n2) noexcept {
  index best = 1;
  for (index rows = 2; rows <= reference::kronecker_joint_rows(n2); rows *= 2)
    if (joint_vectors(rows, n2) * best < joint_vectors(best, n2) * rows) best = rows;
  return best;
}

PLANISH_ALWAYS_INLINE void copy_run(const float* from, float* to, index count) noexcept {
  for (; count >= float_lanes; count -= float_lanes, from += float_lanes, to += float_lanes)
    FloatBatch::load_unaligned(from).store_unaligned(to);
  if (count > 0) store_partial(load_partial(from, count), to, count);
}

/// The left factor on `count` rows side by side. Scratch holds them as n1 × (count · n2), then the result likewise.
PLANISH_LAZY void kronecker_joint(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                                  MatrixView<float> y, index count, float* scratch) noexcept {
  const index width = count * n2;
  float* out = scratch + n1 * width;
  for (index t = 0; t < count; ++t) {
    if (right != nullptr) {
      small_product({x.row(t), n2, 1, right, n2, scratch + t * n2, width, n1, n2, n2});
    } else {
      for (index i = 0; i < n1; ++i) copy_run(x.row(t) + i * n2, scratch + i * width + t * n2, n2);
    }
  }
  small_product({left, 1, n1, scratch, width, out, width, n1, n1, width});
  for (index t = 0; t < count; ++t)
    for (index i = 0; i < n1; ++i) copy_run(out + i * width + t * n2, y.row(t) + i * n2, n2);
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
