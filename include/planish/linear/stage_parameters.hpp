#pragma once
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <planish/core/array.hpp>
#include <planish/core/index.hpp>
#include <planish/core/result.hpp>
#include <planish/linear/describe_stage.hpp>
#include <planish/transform/kronecker_factors.hpp>
#include <planish/transform/stage.hpp>

namespace planish::inline PLANISH_ABI {

/// One named array of a stage, as files keep it.
struct StageParameter {
  std::string name;
  Array<float> values;  // rows × columns
  index rows = 0, columns = 0;
};

namespace detail {

template <class S>
void collect_parameters(const S& stage, const std::string& prefix, Array<StageParameter>& into) {
  stage.for_each_parameter([&](const char* name, std::span<const float> values, index rows, index columns) {
    into.push_back({prefix + name, {values.data(), values.data() + values.size()}, rows, columns});
  });
}

/// The parameters of a stage. A Kronecker whose factors are not all matrices names each after its factor's stage:
/// "left.hadamard.signs", "right.identity.size".
template <TransformStage S>
[[nodiscard]] Result<Array<StageParameter>> stage_parameters(const S& stage) {
  Array<StageParameter> all;
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

}  // namespace detail
}  // namespace planish::inline PLANISH_ABI
