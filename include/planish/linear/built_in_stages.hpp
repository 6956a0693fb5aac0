#pragma once
// The stages that every registry knows, made from what a file says of them.
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/core/array.hpp>
#include <planish/linear/any_stage.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

namespace planish::inline PLANISH_ABI {

namespace detail {

PLANISH_LAZY const StageParameter* find_parameter(std::span<const StageParameter> all, std::string_view name) noexcept {
  for (const StageParameter& parameter : all)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

PLANISH_LAZY [[nodiscard]] Status missing_parameter(std::string_view stage, std::string_view parameter) noexcept {
  return Status(ErrorCode::malformed, stage, ": the parameter '", parameter, "' is missing");
}

[[nodiscard]] inline std::span<const float> values_of(const StageParameter& parameter) noexcept {
  return {parameter.values.data(), parameter.values.size()};
}

/// A whole number from 1 to 2^24 that was stored as one float.
PLANISH_LAZY [[nodiscard]] Result<index> stored_size(std::string_view stage, const StageParameter& parameter) noexcept {
  if (parameter.values.size() != 1 || !(parameter.values[0] >= 1.0f && parameter.values[0] <= 0x1p24f) ||
      parameter.values[0] != std::floor(parameter.values[0]))
    return Status(ErrorCode::malformed, stage, ": the parameter '", parameter.name, "' is not a size");
  return static_cast<index>(parameter.values[0]);
}

template <class S>
[[nodiscard]] Result<AnyStage> any_stage(Result<S> stage) {
  if (!stage) return stage.status();
  return AnyStage(*std::move(stage));
}

PLANISH_LAZY [[nodiscard]] Result<Identity> make_identity(std::span<const StageParameter> all,
                                                          const std::string& prefix) {
  const StageParameter* size = find_parameter(all, prefix + "size");
  if (size == nullptr) return missing_parameter("identity", prefix + "size");
  const auto n = stored_size("identity", *size);
  if (!n) return n.status();
  return Identity(*n);
}

PLANISH_LAZY [[nodiscard]] Result<Hadamard> make_hadamard(std::span<const StageParameter> all,
                                                          const std::string& prefix) {
  if (const StageParameter* signs = find_parameter(all, prefix + "signs"))
    return Hadamard::with_signs(static_cast<index>(signs->values.size()), signs->values);
  const StageParameter* size = find_parameter(all, prefix + "size");
  if (size == nullptr) return missing_parameter("hadamard", prefix + "size");
  const auto n = stored_size("hadamard", *size);
  if (!n) return n.status();
  return Hadamard::make(*n);
}

PLANISH_ENTRY Result<AnyStage> make_shift(std::span<const StageParameter> all) {
  const StageParameter* offsets = find_parameter(all, "offsets");
  return offsets == nullptr ? missing_parameter("shift", "offsets") : any_stage(Shift::make(values_of(*offsets)));
}

PLANISH_ENTRY Result<AnyStage> make_scale(std::span<const StageParameter> all) {
  const StageParameter* factors = find_parameter(all, "factors");
  return factors == nullptr ? missing_parameter("scale", "factors") : any_stage(Scale::make(values_of(*factors)));
}

PLANISH_ENTRY Result<AnyStage> make_permutation(std::span<const StageParameter> all) {
  const StageParameter* stored = find_parameter(all, "sources");
  if (stored == nullptr) return missing_parameter("permutation", "sources");
  Array<std::int32_t> sources;
  for (float source : stored->values) {
    if (!(source >= 0.0f && source < 0x1p24f) || source != std::floor(source))
      return Status(ErrorCode::malformed, "permutation: entry ", sources.size(), " is not an index");
    sources.push_back(static_cast<std::int32_t>(source));
  }
  return any_stage(Permutation::make({sources.data(), sources.size()}));
}

PLANISH_ENTRY Result<AnyStage> make_rotation(std::span<const StageParameter> all) {
  const StageParameter* matrix = find_parameter(all, "matrix");
  if (matrix == nullptr) return missing_parameter("rotation", "matrix");
  return any_stage(Rotation::make(values_of(*matrix), matrix->rows));
}

PLANISH_ENTRY Result<AnyStage> make_dense(std::span<const StageParameter> all) {
  const StageParameter* matrix = find_parameter(all, "matrix");
  if (matrix == nullptr) return missing_parameter("dense", "matrix");
  return any_stage(Dense::make(matrix->values, matrix->rows));
}

PLANISH_ENTRY Result<AnyStage> make_block_diagonal(std::span<const StageParameter> all) {
  std::vector<Dense> blocks;
  for (const StageParameter& parameter : all) {
    auto block = Dense::make(parameter.values, parameter.rows);
    if (!block) return block.status();
    blocks.push_back(*std::move(block));
  }
  return any_stage(BlockDiagonal<Dense>::make(std::move(blocks)));
}

/// Calls `use(factor)` with the factor of one side, whichever type it was saved as.
template <class Use>
[[nodiscard]] Result<AnyStage> with_factor(std::span<const StageParameter> all, const std::string& side, Use&& use) {
  if (const StageParameter* matrix = find_parameter(all, side)) {
    auto factor = Dense::make(matrix->values, matrix->rows);
    return factor ? use(*std::move(factor)) : Result<AnyStage>(factor.status());
  }
  for (const char* prefix : {"_", ".identity."})
    if (find_parameter(all, side + prefix + "size") != nullptr) {
      auto factor = make_identity(all, side + prefix);
      return factor ? use(*std::move(factor)) : Result<AnyStage>(factor.status());
    }
  if (const StageParameter* matrix = find_parameter(all, side + ".dense.matrix")) {
    auto factor = Dense::make(matrix->values, matrix->rows);
    return factor ? use(*std::move(factor)) : Result<AnyStage>(factor.status());
  }
  if (const StageParameter* matrix = find_parameter(all, side + ".rotation.matrix")) {
    auto factor = Dense::make(matrix->values, matrix->rows);
    return factor ? use(*std::move(factor)) : Result<AnyStage>(factor.status());
  }
  auto factor = make_hadamard(all, side + ".hadamard.");
  return factor ? use(*std::move(factor)) : Result<AnyStage>(missing_parameter("kronecker", side));
}

PLANISH_ENTRY Result<AnyStage> make_kronecker(std::span<const StageParameter> all) {
  return with_factor(all, "left", [&](auto left) {
    return with_factor(all, "right",
                       [&](auto right) -> Result<AnyStage> { return AnyStage(Kronecker(left, std::move(right))); });
  });
}

PLANISH_ENTRY Result<AnyStage> make_bfloat16_kronecker(std::span<const StageParameter> all) {
  const auto exact = make_kronecker(all);
  return exact ? exact->in_bfloat16() : Result<AnyStage>(exact.status());
}

PLANISH_ENTRY Result<AnyStage> make_built_in_stage(std::string_view name, std::span<const StageParameter> all) {
  if (name == Identity::name) return any_stage(make_identity(all, ""));
  if (name == Hadamard::name) return any_stage(make_hadamard(all, ""));
  if (name == Shift::name) return make_shift(all);
  if (name == Scale::name) return make_scale(all);
  if (name == Permutation::name) return make_permutation(all);
  if (name == Rotation::name) return make_rotation(all);
  if (name == Dense::name) return make_dense(all);
  if (name == "kronecker") return make_kronecker(all);
  if (name == "kronecker_bfloat16") return make_bfloat16_kronecker(all);
  if (name == "block_diagonal") return make_block_diagonal(all);
  return Status(ErrorCode::unsupported, "unknown stage '", name, "'");
}

}  // namespace detail

}  // namespace planish::inline PLANISH_ABI
