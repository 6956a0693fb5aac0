#pragma once
// The functions through which everything above reaches the CPU's kernels: their bodies, or, in a program that compiles
// them apart (planish/bodies.hpp), what they are called.
#include <planish/core/abi.hpp>

#if !defined(PLANISH_SEPARATE_BODIES)
#include <planish/kernels/cpu/bodies.hpp>
#else
#include <cstddef>
#include <cstdint>
#include <span>

#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>
#include <planish/kernels/hadamard_plan_view.hpp>
#include <planish/packing/attention.hpp>
#include <planish/packing/bfloat16_factors.hpp>
#include <planish/packing/epilogue.hpp>
#include <planish/packing/float_panels.hpp>
#include <planish/packing/kv_pages.hpp>
#include <planish/packing/packed_weights.hpp>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>
#include <planish/packing/rows_to_codes.hpp>

namespace planish::inline PLANISH_ABI::kernels::cpu {

// rows
index quantize_rows(MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept;
void dequantize_rows(QuantizedRowsView x, MatrixView<float> y) noexcept;
void rms_norm_rows(MatrixView<const float> x, const float* gain, float epsilon, MatrixView<float> y) noexcept;
void swiglu_rows(MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept;

// transforms
void dense_rows(MatrixView<const float> x, const float* a, MatrixView<float> y) noexcept;
void hadamard_rows(MatrixView<const float> x, const HadamardPlanView& plan, const float* signs, MatrixView<float> y,
                   std::span<float> scratch) noexcept;
void kronecker_rows(MatrixView<const float> x, index n1, index n2, const float* left, const float* right,
                    MatrixView<float> y, std::span<float> scratch) noexcept;
index hadamard_codes(const RowsToCodes& job, const HadamardPlanView& plan, const float* signs) noexcept;
index kronecker_codes(const RowsToCodes& job, index n1, index n2, const float* left, const float* right) noexcept;
void kronecker_bfloat16_rows(MatrixView<const float> x, const Bfloat16FactorsView& factors, MatrixView<float> y,
                             std::span<float> scratch) noexcept;
index kronecker_bfloat16_codes(const RowsToCodes& job, const Bfloat16FactorsView& factors) noexcept;

// products
void multiply(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y, Range panels,
              std::span<std::byte> scratch) noexcept;
void multiply_accumulators(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc, Range panels,
                           std::span<std::byte> scratch) noexcept;
#if defined(PLANISH_HAS_AMX_INT8)
void multiply_amx(QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y, Range panels,
                  std::span<std::byte> scratch) noexcept;
void multiply_accumulators_amx(QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> acc,
                               Range panels, std::span<std::byte> scratch) noexcept;
#endif
void multiply_weight_only(MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& e, MatrixView<float> y,
                          Range panels, std::span<std::byte> scratch) noexcept;
void multiply_float(MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& e, MatrixView<float> y,
                    Range panels, std::span<std::byte> scratch) noexcept;

// the cache
std::size_t attend_scratch_bytes(const Attention& a, index lines) noexcept;
index attend(const Attention& a, index kv_head, Range range, std::span<std::byte> scratch) noexcept;
bool store_key(const KvPages& keys, const KvPage& page, index slot, const float* x, index stride) noexcept;
bool store_value(const KvPages& values, const KvPage& page, index slot, const float* x, index stride) noexcept;

}  // namespace planish::inline PLANISH_ABI::kernels::cpu
#endif
