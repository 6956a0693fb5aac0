#pragma once
// The functions through which everything above reaches the CPU's kernels, and, unless the program compiles them apart
// (planish/kernels.hpp), their bodies.
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/abi.hpp>
#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>
#include <planish/packing/attention.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/float_panels.hpp>
#include <planish/packing/kv_pages.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

// rows
PLANISH_KERNEL index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept;
PLANISH_KERNEL void dequantize_rows(QuantizedRowsView x, MatrixView<float> y) noexcept;
PLANISH_KERNEL void rms_norm_rows(MatrixView<const float> x, const float* gain, float epsilon,
                                  MatrixView<float> y) noexcept;
PLANISH_KERNEL void swiglu_rows(MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept;

// transforms
PLANISH_KERNEL void dense_rows(MatrixView<const float> x, const float* a, MatrixView<float> y) noexcept;
PLANISH_KERNEL void hadamard_rows(MatrixView<const float> x, const HadamardPlanView& plan, const float* signs,
                                  MatrixView<float> y, std::span<float> scratch) noexcept;
PLANISH_KERNEL void kronecker_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                                   MatrixView<float> y, std::span<float> scratch) noexcept;

// products
PLANISH_KERNEL void multiply(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                             Range panels, std::span<std::byte> scratch) noexcept;
PLANISH_KERNEL void multiply_accumulators(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                                          Range panels, std::span<std::byte> scratch) noexcept;
#if defined(PLANISH_HAS_AMX_INT8)
PLANISH_KERNEL void multiply_amx(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e,
                                 MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept;
PLANISH_KERNEL void multiply_accumulators_amx(QuantizedRowsView x, const PackedWeightsView& w,
                                              MatrixView<std::int32_t> acc, Range panels,
                                              std::span<std::byte> scratch) noexcept;
#endif
PLANISH_KERNEL void multiply_weight_only(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e,
                                         MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept;
PLANISH_KERNEL void multiply_float(MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& e,
                                   MatrixView<float> y, Range panels, std::span<std::byte> scratch) noexcept;

// the cache
[[nodiscard]] PLANISH_KERNEL std::size_t attend_scratch_bytes(const Attention& a, index lines) noexcept;
PLANISH_KERNEL index attend(const Attention& a, index kv_head, Range range, std::span<std::byte> scratch) noexcept;
PLANISH_KERNEL bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x,
                              index stride) noexcept;
PLANISH_KERNEL bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x,
                                index stride) noexcept;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu

#if !defined(PLANISH_SEPARATE_KERNELS)
#include <planish/kernels/cpu/bodies.hpp>
#endif
