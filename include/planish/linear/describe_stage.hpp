#pragma once
#include <concepts>
#include <string>
#include <tuple>
#include <type_traits>

#include <planish/backend/enable_amx.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/stage.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI::detail {

template <class S>
inline constexpr bool is_kronecker = false;
template <class L, class R>
inline constexpr bool is_kronecker<Kronecker<L, R>> = true;

template <class S>
constexpr const char* name_of() noexcept {
  if constexpr (requires {
                  { S::name } -> std::convertible_to<const char*>;
                })
    return S::name;
  else
    return "unnamed";
}
template <class S>
inline constexpr const char* stage_name = name_of<S>();

/// What multiplies terms of bfloat16, and why.
[[nodiscard]] inline const char* bfloat16_path() noexcept {
#if defined(PLANISH_HAS_AMX_INT8) && defined(__AVX512BF16__) && (defined(__AMX_BF16__) || defined(__AMXBF16__))
  return amx_is_enabled() ? "amx" : "in float32: amx is not enabled";
#else
  return "in float32: this unit is compiled without amx-bf16";
#endif
}

/// "hadamard(576)", "scale(576) -> kronecker(dense(24), dense(24))".
template <TransformStage S>
[[nodiscard]] std::string describe_stage(const S& stage) {
  if constexpr (StageComposition<S>)
    return std::apply(
        [](const auto& first, const auto&... rest) {
          return (describe_stage(first) + ... + (" -> " + describe_stage(rest)));
        },
        stage.stages());
  else if constexpr (is_bfloat16_kronecker<S>)
    return "kronecker_bfloat16(" + describe_stage(stage.left()) + ", " + describe_stage(stage.right()) + "; " +
           bfloat16_path() + ")";
  else if constexpr (is_kronecker<S>)
    return "kronecker(" + describe_stage(stage.left()) + ", " + describe_stage(stage.right()) + ")";
  else
    return std::string(stage_name<S>) + "(" + std::to_string(stage.size()) + ")";
}

}  // namespace planish::inline PLANISH_ABI::detail
