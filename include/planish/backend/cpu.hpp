#pragma once
#include <type_traits>

#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/cpu/multiply_float.hpp>
#include <planish/kernels/cpu/multiply_weight_only.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Runs on the instruction sets that the unit is compiled for.
struct Cpu {
#if defined(PLANISH_HAS_AVX512VNNI)
  static constexpr const char* name = "avx512vnni";
#elif defined(PLANISH_HAS_AVX2)
  static constexpr const char* name = "avx2";
#else
  static constexpr const char* name = "portable";
#endif
};

/// Codes of the rows of x; returns how many rows held NaN or infinity.
inline index quantize(Cpu, MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  return kernels::cpu::quantize_rows(x, q, out);
}

/// The values of codes.
inline void dequantize(Cpu, QuantizedRowsView x, MatrixView<float> y) noexcept { kernels::cpu::dequantize_rows(x, y); }

/// Bytes that one worker's `multiply` needs.
[[nodiscard]] inline std::size_t multiply_scratch_bytes(Cpu, index rows, index columns, index groups) noexcept {
  return kernels::cpu::multiply_scratch_bytes(rows, columns, groups);
}

/// Codes × codes, exact in int32, for the channels of these panels.
inline void multiply(Cpu, QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply(x, w, epilogue, y, panels, scratch);
}

/// Floats × the values of codes.
inline void multiply(Cpu, MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply_weight_only(x, w, epilogue, y, panels, scratch);
}

/// Floats × floats.
inline void multiply(Cpu, MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& epilogue,
                     MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply_float(x, w, epilogue, y, panels, scratch);
}

/// The int32 sums that the first `multiply` rescales; column n · groups + g of row m.
inline void multiply_accumulators(Cpu, QuantizedRowsView x, const PackedWeightsView& w,
                                  MatrixView<std::int32_t> accumulators, Range panels,
                                  std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply_accumulators(x, w, accumulators, panels, scratch);
}

/// y = stage(x). In float by the kernels where the stage is one that they know, part by part where it is made of parts;
/// else, and in double, by the stage's own apply.
template <TransformStage S, class T>
void apply(Cpu, const S& stage, MatrixView<const T> x, MatrixView<T> y, std::span<T> scratch) {
  stage.apply(x, y, scratch);
}

}  // namespace planish::inline PLANISH_ABI
