#pragma once
#include <planish/kernels/reference/multiply.hpp>
#include <planish/kernels/reference/multiply_float.hpp>
#include <planish/kernels/reference/multiply_weight_only.hpp>
#include <planish/kernels/reference/norm_rows.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>
#include <planish/kernels/reference/swiglu_rows.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Runs everything as plain loops: the oracle, on every platform.
struct Reference {
  static constexpr const char* name = "reference";
};

/// y = stage(x), in float or double; scratch holds stage.scratch_size(rows) elements.
template <TransformStage S, class T>
void apply(Reference, const S& stage, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) {
  stage.apply(x, y, scratch);
}

/// Codes of the rows of x; returns how many rows held NaN or infinity.
inline index quantize(Reference, MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  return kernels::reference::quantize_rows(x, q, out);
}

/// The values of codes.
inline void dequantize(Reference, QuantizedRowsView x, MatrixView<float> y) noexcept {
  kernels::reference::dequantize_rows(x, y);
}

/// y = x / sqrt(mean(x²) + epsilon) ⊙ gain, row by row.
inline void rms_norm(Reference, MatrixView<const float> x, const float* gain, float epsilon,
                     MatrixView<float> y) noexcept {
  kernels::reference::rms_norm_rows(x, gain, epsilon, y);
}

/// y = silu(gate) ⊙ up.
inline void swiglu(Reference, MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept {
  kernels::reference::swiglu_rows(gate, up, y);
}

/// Bytes that one worker's `multiply` needs.
[[nodiscard]] inline std::size_t multiply_scratch_bytes(Reference, index rows, index columns, index groups) noexcept {
  return kernels::reference::multiply_scratch_bytes(rows, columns, groups);
}

/// Codes × codes, exact in int32, for the channels of these panels.
inline void multiply(Reference, QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::reference::multiply(x, w, epilogue, y, panels, scratch);
}

/// Floats × the values of codes.
inline void multiply(Reference, MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::reference::multiply_weight_only(x, w, epilogue, y, panels, scratch);
}

/// Floats × floats.
inline void multiply(Reference, MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::reference::multiply_float(x, w, epilogue, y, panels, scratch);
}

/// The int32 sums that the first `multiply` rescales; column n · groups + g of row m.
inline void multiply_accumulators(Reference, QuantizedRowsView x, const PackedWeightsView& w,
                                  MatrixView<std::int32_t> accumulators, Range panels,
                                  std::span<std::byte> scratch) noexcept {
  kernels::reference::multiply_accumulators(x, w, accumulators, panels, scratch);
}

}  // namespace planish::inline PLANISH_ABI
