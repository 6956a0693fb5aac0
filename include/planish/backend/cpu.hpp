#pragma once
#include <algorithm>
#include <concepts>
#include <type_traits>

#include <planish/backend/enable_amx.hpp>
#include <planish/kernels/cpu/entry_points.hpp>
#include <planish/kernels/cpu/isa/best_name.hpp>
#include <planish/kernels/cpu/scratch.hpp>
#include <planish/kernels/cpu/tile_plan.hpp>
#include <planish/packing/rows_to_codes.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// Runs on the instruction sets that the unit is compiled for.
struct Cpu {
  static constexpr const char* name = kernels::cpu::isa::best_name;
};

// Templates of one type, so that a unit compiles the kernels that it calls and no others (core/abi.hpp: PLANISH_ENTRY).

/// Codes of the rows of x; returns how many rows held NaN or infinity.
template <std::same_as<Cpu> B>
index quantize(B, MatrixView<const float> x, const RowQuantizer& q, QuantizedRowsSpan out) noexcept {
  return kernels::cpu::quantize_rows(x, q, out);
}

/// The values of codes.
template <std::same_as<Cpu> B>
void dequantize(B, QuantizedRowsView x, MatrixView<float> y) noexcept {
  kernels::cpu::dequantize_rows(x, y);
}

/// y = x / sqrt(mean(x²) + epsilon) ⊙ gain, row by row.
template <std::same_as<Cpu> B>
void rms_norm(B, MatrixView<const float> x, const float* gain, float epsilon, MatrixView<float> y) noexcept {
  kernels::cpu::rms_norm_rows(x, gain, epsilon, y);
}

/// y = silu(gate) ⊙ up.
template <std::same_as<Cpu> B>
void swiglu(B, MatrixView<const float> gate, MatrixView<const float> up, MatrixView<float> y) noexcept {
  kernels::cpu::swiglu_rows(gate, up, y);
}

/// Bytes that one worker's `multiply` needs.
template <std::same_as<Cpu> B>
[[nodiscard]] std::size_t multiply_scratch_bytes(B, index rows, index columns, index groups) noexcept {
  const std::size_t bytes = kernels::cpu::multiply_scratch_bytes(rows, columns, groups);
#if defined(PLANISH_HAS_AMX_INT8)
  return std::max(bytes, kernels::cpu::tile_scratch_bytes(rows, columns, groups));
#else
  return bytes;
#endif
}

/// Codes × codes, exact in int32, for the channels of these panels.
template <std::same_as<Cpu> B>
void multiply(B, QuantizedRowsView x, const PackedWeightsView& w, const Epilogue& epilogue, MatrixView<float> y,
              Range panels, std::span<std::byte> scratch) noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  if (amx_is_enabled() && kernels::cpu::tiles_fit(x.rows, w))
    return kernels::cpu::multiply_amx(x, w, epilogue, y, panels, scratch);
#endif
  kernels::cpu::multiply(x, w, epilogue, y, panels, scratch);
}

/// Floats × the values of codes.
template <std::same_as<Cpu> B>
void multiply(B, MatrixView<const float> x, const PackedWeightsView& w, const Epilogue& epilogue, MatrixView<float> y,
              Range panels, std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply_weight_only(x, w, epilogue, y, panels, scratch);
}

/// Floats × floats.
template <std::same_as<Cpu> B>
void multiply(B, MatrixView<const float> x, const FloatPanelsView& w, const Epilogue& epilogue, MatrixView<float> y,
              Range panels, std::span<std::byte> scratch) noexcept {
  kernels::cpu::multiply_float(x, w, epilogue, y, panels, scratch);
}

/// The int32 sums that the first `multiply` rescales; column n · groups + g of row m.
template <std::same_as<Cpu> B>
void multiply_accumulators(B, QuantizedRowsView x, const PackedWeightsView& w, MatrixView<std::int32_t> accumulators,
                           Range panels, std::span<std::byte> scratch) noexcept {
#if defined(PLANISH_HAS_AMX_INT8)
  if (amx_is_enabled() && kernels::cpu::tiles_fit(x.rows, w))
    return kernels::cpu::multiply_accumulators_amx(x, w, accumulators, panels, scratch);
#endif
  kernels::cpu::multiply_accumulators(x, w, accumulators, panels, scratch);
}

namespace detail {

/// Stages made of parts run each part on the CPU in turn.
struct ApplyOnCpu {
  template <class S>
  void operator()(const S& stage, MatrixView<const float> x, MatrixView<float> y, std::span<float> scratch) const {
    apply(Cpu{}, stage, x, y, scratch);
  }
};

template <class S>
concept MadeOfParts = requires(const S& stage, MatrixView<const float> x, MatrixView<float> y, std::span<float> s) {
  stage.apply_parts(ApplyOnCpu{}, x, y, s);
};

template <class S>
inline constexpr bool is_fused_kronecker = false;
template <class L, class R>
inline constexpr bool is_fused_kronecker<Kronecker<L, R>> = Kronecker<L, R>::is_fused;

}  // namespace detail

/// y = stage(x), in double by the stage's own apply, in float by the kernels where they know the stage, part by part
/// where it is made of parts, and else by its own apply.
template <TransformStage S>
void apply(Cpu, const S& stage, MatrixView<const float> x, MatrixView<float> y, std::span<float> scratch) {
  if (x.empty()) return;
  if constexpr (std::is_same_v<S, Hadamard>)
    kernels::cpu::hadamard_rows(x, stage.plan(), stage.signs(), y, scratch);
  else if constexpr (detail::is_fused_kronecker<S>)
    kernels::cpu::kronecker_rows(x, stage.left().size(), stage.right().size(), stage.left().template matrix<float>(),
                                 stage.right().template matrix<float>(), y, scratch);
  else if constexpr (detail::is_bfloat16_kronecker<S>)
    kernels::cpu::kronecker_bfloat16_rows(x, stage.factors(), y, scratch);
  else if constexpr (HasMatrix<S> && !std::is_same_v<S, Identity>)
    kernels::cpu::dense_rows(x, stage.template matrix<float>(), y);
  else if constexpr (detail::MadeOfParts<S>)
    stage.apply_parts(detail::ApplyOnCpu{}, x, y, scratch);
  else
    stage.apply(x, y, scratch);
}
/// The codes of stage(x), as `quantize` behind `apply` makes them, with rows that are quantized where they were made.
/// Returns how many held NaN or infinity.
template <TransformStage S>
index apply_to_codes(Cpu, const S& stage, const RowsToCodes& job) noexcept {
  if constexpr (std::is_same_v<S, Hadamard>) {
    return kernels::cpu::hadamard_codes(job, stage.plan(), stage.signs());
  } else if constexpr (detail::is_fused_kronecker<S>) {
    return kernels::cpu::kronecker_codes(job, stage.left().size(), stage.right().size(),
                                         stage.left().template matrix<float>(), stage.right().template matrix<float>());
  } else if constexpr (detail::is_bfloat16_kronecker<S>) {
    return kernels::cpu::kronecker_bfloat16_codes(job, stage.factors());
  } else if constexpr (requires { stage.apply_to_codes(job); }) {
    return stage.apply_to_codes(job);
  } else {
    apply(Cpu{}, stage, job.x, job.room, job.scratch);
    return quantize(Cpu{}, MatrixView<const float>(job.room), job.quantizer, job.out);
  }
}

template <TransformStage S>
void apply(Cpu, const S& stage, MatrixView<const double> x, MatrixView<double> y, std::span<double> scratch) {
  stage.apply(x, y, scratch);
}

}  // namespace planish::inline PLANISH_ABI
