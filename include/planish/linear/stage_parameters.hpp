#pragma once
#include <string>
#include <vector>

#include <planish/backend/enable_amx.hpp>
#include <planish/transform/bfloat16_kronecker.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/stage.hpp>
#include <planish/transform/transform.hpp>

namespace planish::inline PLANISH_ABI {

/// One named array of a stage, as files keep it.
struct StageParameter {
  std::string name;
  std::vector<float> values;  // rows × columns
  index rows = 0, columns = 0;
};

namespace detail {

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

template <class S>
void collect_parameters(const S& stage, const std::string& prefix, std::vector<StageParameter>& into) {
  stage.for_each_parameter([&](const char* name, std::span<const float> values, index rows, index columns) {
    into.push_back({prefix + name, {values.begin(), values.end()}, rows, columns});
  });
}

/// The parameters of a stage. A Kronecker whose factors are not all matrices names each after its factor's stage:
/// "left.hadamard.signs", "right.identity.size".
template <TransformStage S>
[[nodiscard]] Result<std::vector<StageParameter>> stage_parameters(const S& stage) {
  std::vector<StageParameter> all;
  if constexpr (HasParameters<S>) {
    collect_parameters(stage, "", all);
    return all;
  } else if constexpr (is_kronecker<S>) {
    using Left = std::remove_cvref_t<decltype(stage.left())>;
    using Right = std::remove_cvref_t<decltype(stage.right())>;
    if constexpr (HasParameters<Left> && HasParameters<Right>) {
      collect_parameters(stage.left(), std::string("left.") + Left::name + ".", all);
      collect_parameters(stage.right(), std::string("right.") + Right::name + ".", all);
      return all;
    }
  }
  return Status(ErrorCode::unsupported, "the stage '", std::string_view(stage_name<S>),
                "' cannot be saved: it has no name and for_each_parameter");
}

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

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
