#pragma once
#include <algorithm>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/simd.hpp>
#include <planish/kernels/reference/norm_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

namespace detail {

/// Sums of squares of a dense row, column c in part c % norm_parts. The product of two floats is exact in float64, so a
/// fused multiply-add and two operations agree.
inline void sum_squares(const float* row, index columns, double* parts) noexcept {
  using Floats [[gnu::vector_size(32), gnu::aligned(4), gnu::may_alias]] = float;
  using Doubles [[gnu::vector_size(64)]] = double;
  constexpr index lanes = 8, vectors = norm_parts / lanes;
  Doubles sums[vectors] = {};
  const auto add = [&sums](const float* from) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (index v = 0; v < vectors; ++v) {
      const Doubles x = __builtin_convertvector(*reinterpret_cast<const Floats*>(from + v * lanes), Doubles);
      sums[v] += x * x;
    }
  };
  index c = 0;
  for (; c + norm_parts <= columns; c += norm_parts) add(row + c);
  if (c < columns) {
    float rest[norm_parts] = {};
    std::copy(row + c, row + columns, rest);
    add(rest);
  }
  for (index p = 0; p < norm_parts; ++p) parts[p] = sums[p / lanes][p % lanes];
}

}  // namespace detail

/// See `reference::rms_norm_rows`: the same bits.
PLANISH_ENTRY void rms_norm_rows(MatrixView<const float> x, const float* gain, float epsilon,
                                 MatrixView<float> y) noexcept {
  if (!x.has_dense_rows() || !y.has_dense_rows()) return reference::rms_norm_rows(x, gain, epsilon, y);
  for (index r = 0; r < x.rows(); ++r) {
    const float* row = x.row(r);
    float* out = y.row(r);
    double parts[norm_parts];
    detail::sum_squares(row, x.columns(), parts);
    const float inverse = inverse_norm(parts, x.columns(), epsilon);
    index c = 0;
    for (; c + float_lanes <= x.columns(); c += float_lanes)
      (FloatBatch::load_unaligned(row + c) * FloatBatch(inverse) * FloatBatch::load_unaligned(gain + c))
          .store_unaligned(out + c);
    for (; c < x.columns(); ++c) out[c] = row[c] * inverse * gain[c];
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
