#pragma once
#include <algorithm>

#include <planish/core/abi.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/exponential_terms.hpp>
#include <planish/kernels/reference/exponential.hpp>

namespace planish::inline PLANISH_ABI::kernels::reference {

/// SwiGLU (arXiv 2002.05202): y = silu(gate) ⊙ up, silu(x) = x / (1 + e^−x); y may be either input. Any strides.
inline void swiglu_rows(MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept {
  for (index r = 0; r < gate.rows(); ++r)
    for (index c = 0; c < gate.columns(); ++c) {
      const float x = gate(r, c), exponent = x * -swiglu_log2_e;
      y(r, c) = x / (1.0f + power_of_two(exponent > swiglu_most ? swiglu_most : exponent)) * up(r, c);
    }
}

}  // namespace planish::inline PLANISH_ABI::kernels::reference
