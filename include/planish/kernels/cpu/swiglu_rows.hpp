#pragma once
#include <algorithm>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/exponential.hpp>
#include <planish/kernels/reference/swiglu_rows.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

/// See `reference::swiglu_rows`: the same bits.
PLANISH_ENTRY void swiglu_rows(MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept {
  if (!gate.has_dense_rows() || !up.has_dense_rows() || !y.has_dense_rows()) return reference::swiglu_rows(gate, up, y);
  const auto product = [](FloatBatch g, FloatBatch u) __attribute__((always_inline)) {
    // min(most, NaN) is NaN
    const FloatBatch exponent = xsimd::min(FloatBatch(swiglu_most), g * FloatBatch(-swiglu_log2_e));
    return divided(g, FloatBatch(1.0f) + power_of_two(exponent)) * u;
  };
  for (index r = 0; r < gate.rows(); ++r) {
    const float* g = gate.row(r);
    const float* u = up.row(r);
    float* out = y.row(r);
    index c = 0;
    for (; c + float_lanes <= gate.columns(); c += float_lanes)
      product(FloatBatch::load_unaligned(g + c), FloatBatch::load_unaligned(u + c)).store_unaligned(out + c);
    if (c == gate.columns()) continue;
    alignas(64) float last_gates[FloatBatch::size] = {}, last_ups[FloatBatch::size] = {};
    std::copy(g + c, g + gate.columns(), last_gates);
    std::copy(u + c, u + gate.columns(), last_ups);
    product(FloatBatch::load_aligned(last_gates), FloatBatch::load_aligned(last_ups)).store_aligned(last_gates);
    std::copy(last_gates, last_gates + (gate.columns() - c), out + c);
  }
}

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
