#pragma once
#include <cstdint>

#include <planish/core/abi.hpp>
#include <planish/kernels/cuda/element_type.cuh>
#include <planish/kernels/cuda/kronecker_factors.cuh>
#include <planish/kernels/cuda/row_codes.cuh>
#include <planish/kernels/cuda/row_prologue.cuh>
#include <planish/packing/quantized_rows.hpp>
#include <planish/packing/row_quantizer.hpp>

namespace planish::inline PLANISH_ABI::kernels::cuda {

/// Codes of the rows x · (L ⊗ R) · factor, x behind its prologue; every pointer is of device memory.
struct KroneckerArguments {
  const void* x = nullptr;      // rows × n1·n2
  std::int64_t row_stride = 0;  // elements
  KroneckerFactorsView factors{};
  float factor = 1.0f;  // behind the transform: 1/√n of Hadamard factors of ±1
  RowQuantizer quantizer{};
  QuantizedRowsSpan out;             // as of quantize_rows; null sums are not computed
  std::int32_t* bad_rows = nullptr;  // rows with NaN or infinity are added here; null: not counted
  void* y = nullptr;                 // the transformed rows instead of codes, `factors.type`; null: codes
  std::int64_t y_stride = 0;         // elements
  PrologueArguments prologue{};      // of what the plan says
};

}  // namespace planish::inline PLANISH_ABI::kernels::cuda
