#pragma once
// Sentences about what runs and why: for logs and tables, not to be parsed.
#include <concepts>
#include <string>

#include <planish/backend/cpu.hpp>
#include <planish/core/scheme.hpp>
#include <planish/linear/describe_stage.hpp>
#include <planish/linear/prepare.hpp>
#include <planish/packing/packed_weights.hpp>

namespace planish::inline PLANISH_ABI::detail {

/// "w4 (nibble panels, groups of 64, asymmetric)".
PLANISH_LAZY [[nodiscard]] std::string describe_weights(const PackedWeightsView& w) {
  std::string text = "w" + std::to_string(w.bits) + " (";
  if (w.storage == CodeStorage::nibble)
    text += w.bits == 4 ? "nibble panels" : "stored as nibbles: no narrower panels are compiled";
  else
    text += w.bits == 8 ? "byte panels" : "stored as bytes: no panels between 4 and 8 bits are compiled";
  text += w.groups() <= 1 ? ", per channel" : ", groups of " + std::to_string(w.group_size);
  return text + (w.symmetry == Symmetry::symmetric ? ")" : ", asymmetric)");
}

/// "a8 (static per tensor, asymmetric)" or "a16 (float32)".
PLANISH_LAZY [[nodiscard]] std::string describe_activations(const RowQuantizer& q, SiteMode mode) {
  if (q.bits == 16) return "a16 (float32)";
  std::string text = "a" + std::to_string(q.bits) + (q.is_static() ? " (static per tensor" : " (dynamic per token");
  if (q.symmetry == Symmetry::asymmetric) text += ", asymmetric";
  if (q.clip != ClipPair{} && !q.is_static()) text += ", clipped";
  if (mode == SiteMode::fake) return text + ") -> float32 values of the codes, simulated";
  return text + (q.bits == 8 ? ") -> int8 codes" : ") -> codes stored as int8, which the integer kernels read");
}

/// What runs integer products of such weights, and why: "avx512vnni", or with tiles of AMX compiled in "amx from 16
/// rows on, avx512vnni below", "avx512vnni (amx is not enabled)".
template <class B>
[[nodiscard]] std::string describe_integer_path(const B&, const PackedWeightsView& w) {
  std::string plain = B::name;
#if defined(PLANISH_HAS_AMX_INT8)
  if constexpr (std::same_as<B, Cpu>) {
    if (!amx_is_enabled()) return plain + " (amx is not enabled)";
    if (!kernels::cpu::tiles_fit(kernels::cpu::least_tile_rows, w))
      return plain + " (amx takes groups of 64, 128 and further multiples of 64 up to " +
             std::to_string(64 * kernels::cpu::most_chunk_steps) + ")";
    return "amx from " + std::to_string(kernels::cpu::least_tile_rows) + " rows on, " + plain + " below";
  }
#endif
  static_cast<void>(w);
  return plain;
}

template <class T>
[[nodiscard]] std::string describe_transform(const T& transform) {
  if constexpr (requires {
                  { transform.describe() } -> std::convertible_to<std::string>;
                })
    return transform.describe();
  else
    return describe_stage(transform);
}

/// "3 quantized inputs for 3 consumers, each a4 (dynamic per token, clipped) -> ...": of several quantizers that differ
/// by their clips alone one is described, else every kind.
PLANISH_LAZY [[nodiscard]] std::string describe_inputs(const SitePlan& plan) {
  std::string kinds = describe_activations(plan.quantizer(0), plan.mode());
  if (plan.inputs() == 1) return kinds;
  bool alike = true;
  for (int i = 1; i < plan.inputs(); ++i) {
    const std::string kind = describe_activations(plan.quantizer(i), plan.mode());
    if (kinds.find(kind) != kinds.npos) continue;
    alike = false;
    kinds += "; " + kind;
  }
  return std::to_string(plan.inputs()) + " quantized inputs for " + std::to_string(plan.consumers()) + " consumers, " +
         (alike ? "each " : "") + kinds;
}

template <TransformStage T>
[[nodiscard]] std::string describe_site(const T& online, const SitePlan& plan, const char* backend) {
  const std::string transform = leaves_rows(online) ? "" : describe_transform(online) + " -> ";
  return transform + describe_inputs(plan) + ", " + backend;
}

}  // namespace planish::inline PLANISH_ABI::detail
