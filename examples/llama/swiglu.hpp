#pragma once
#include <algorithm>

#include <planish/core/matrix_view.hpp>
#include <planish/kernels/cpu/exponential.hpp>

namespace llama {

/// SwiGLU (arXiv 2002.05202): gate ← silu(gate) ⊙ up, silu(x) = x / (1 + e^−x). A few channels at a time; the rest of a
/// row goes through a padded copy, so that every channel is computed alike.
inline void swiglu(planish::MatrixView<float> gate, planish::MatrixView<const float> up) noexcept {
  using planish::index;
  using Batch = planish::kernels::cpu::FloatBatch;
  constexpr index lanes = planish::kernels::cpu::float_lanes;
  const auto product = [](Batch g, Batch u) {
    constexpr float log2_e = 1.44269504f, most = 127.0f;  // 2^most is the largest power below infinity
    const Batch power = planish::kernels::cpu::power_of_two(xsimd::min(g * Batch(-log2_e), Batch(most)));
    return g / (Batch(1.0f) + power) * u;
  };
  for (index r = 0; r < gate.rows(); ++r) {
    float* g = gate.row(r);
    const float* u = up.row(r);
    index c = 0;
    for (; c + lanes <= gate.columns(); c += lanes)
      product(Batch::load_unaligned(g + c), Batch::load_unaligned(u + c)).store_unaligned(g + c);
    if (c == gate.columns()) continue;
    float last_gates[lanes] = {}, last_ups[lanes] = {};
    std::copy(g + c, g + gate.columns(), last_gates);
    std::copy(u + c, u + gate.columns(), last_ups);
    product(Batch::load_unaligned(last_gates), Batch::load_unaligned(last_ups)).store_unaligned(last_gates);
    std::copy(last_gates, last_gates + (gate.columns() - c), g + c);
  }
}

}  // namespace llama
