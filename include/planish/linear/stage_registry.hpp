#pragma once
#include <cmath>
#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <planish/linear/any_stage.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/scale.hpp>
#include <planish/transform/shift.hpp>

namespace planish::inline PLANISH_ABI {

/// Makes a stage from what a file says of it.
using StageFactory = Result<AnyStage> (*)(std::span<const StageParameter> parameters);

namespace detail {

inline const StageParameter* find_parameter(std::span<const StageParameter> all, std::string_view name) noexcept {
  for (const StageParameter& parameter : all)
    if (parameter.name == name) return &parameter;
  return nullptr;
}

[[nodiscard]] inline Status missing_parameter(std::string_view stage, std::string_view parameter) noexcept {
  return Status(ErrorCode::malformed, stage, ": the parameter '", parameter, "' is missing");
}

/// A whole number from 1 to 2^24 that was stored as one float.
[[nodiscard]] inline Result<index> stored_size(std::string_view stage, const StageParameter& parameter) noexcept {
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

[[nodiscard]] inline Result<Identity> make_identity(std::span<const StageParameter> all, const std::string& prefix) {
  const StageParameter* size = find_parameter(all, prefix + "size");
  if (size == nullptr) return missing_parameter("identity", prefix + "size");
  const auto n = stored_size("identity", *size);
  if (!n) return n.status();
  return Identity(*n);
}

[[nodiscard]] inline Result<Hadamard> make_hadamard(std::span<const StageParameter> all, const std::string& prefix) {
  if (const StageParameter* signs = find_parameter(all, prefix + "signs"))
    return Hadamard::with_signs(static_cast<index>(signs->values.size()), signs->values);
  const StageParameter* size = find_parameter(all, prefix + "size");
  if (size == nullptr) return missing_parameter("hadamard", prefix + "size");
  const auto n = stored_size("hadamard", *size);
  if (!n) return n.status();
  return Hadamard::make(*n);
}

[[nodiscard]] inline Result<AnyStage> make_shift(std::span<const StageParameter> all) {
  const StageParameter* offsets = find_parameter(all, "offsets");
  return offsets == nullptr ? missing_parameter("shift", "offsets") : any_stage(Shift::make(offsets->values));
}

[[nodiscard]] inline Result<AnyStage> make_scale(std::span<const StageParameter> all) {
  const StageParameter* factors = find_parameter(all, "factors");
  return factors == nullptr ? missing_parameter("scale", "factors") : any_stage(Scale::make(factors->values));
}

[[nodiscard]] inline Result<AnyStage> make_permutation(std::span<const StageParameter> all) {
  const StageParameter* stored = find_parameter(all, "sources");
  if (stored == nullptr) return missing_parameter("permutation", "sources");
  std::vector<std::int32_t> sources;
  for (float source : stored->values) {
    if (!(source >= 0.0f && source < 0x1p24f) || source != std::floor(source))
      return Status(ErrorCode::malformed, "permutation: entry ", sources.size(), " is not an index");
    sources.push_back(static_cast<std::int32_t>(source));
  }
  return any_stage(Permutation::make(sources));
}

[[nodiscard]] inline Result<AnyStage> make_rotation(std::span<const StageParameter> all) {
  const StageParameter* matrix = find_parameter(all, "matrix");
  if (matrix == nullptr) return missing_parameter("rotation", "matrix");
  return any_stage(Rotation::make(matrix->values, matrix->rows));
}

[[nodiscard]] inline Result<AnyStage> make_dense(std::span<const StageParameter> all) {
  const StageParameter* matrix = find_parameter(all, "matrix");
  if (matrix == nullptr) return missing_parameter("dense", "matrix");
  return any_stage(Dense::make(matrix->values, matrix->rows));
}

[[nodiscard]] inline Result<AnyStage> make_block_diagonal(std::span<const StageParameter> all) {
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

[[nodiscard]] inline Result<AnyStage> make_kronecker(std::span<const StageParameter> all) {
  return with_factor(all, "left", [&](auto left) {
    return with_factor(all, "right",
                       [&](auto right) -> Result<AnyStage> { return AnyStage(Kronecker(left, std::move(right))); });
  });
}

}  // namespace detail

/// Which stages a file may name: planish's own, and what the host adds. A value; nothing global.
class StageRegistry {
 public:
  /// Adds a stage of the host, or replaces one of planish's for this registry. `name` must outlive it.
  void add(std::string_view name, StageFactory factory) { entries_.push_back({name, factory}); }
  /// Anything else, for a sentence.
  template <class F>
  requires(!std::convertible_to<F, StageFactory>) void add(std::string_view, F&&) {
    static_assert(
        std::convertible_to<F, StageFactory>,
        "planish: a factory is a function, or a lambda without captures, from std::span<const StageParameter> "
        "to Result<AnyStage>");
  }

  /// The stage of this name. Errors: `unsupported` for an unknown name, else what the stage's own `make` says.
  [[nodiscard]] Result<AnyStage> make(std::string_view name, std::span<const StageParameter> parameters) const {
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
      if (entry->name == name) return entry->factory(parameters);
    for (const Entry& entry : built_in)
      if (entry.name == name) return entry.factory(parameters);
    return Status(ErrorCode::unsupported, "unknown stage '", name, "'");
  }

 private:
  struct Entry {
    std::string_view name;
    StageFactory factory;
  };
  static constexpr Entry built_in[] = {
      {Identity::name,
       [](std::span<const StageParameter> all) { return detail::any_stage(detail::make_identity(all, "")); }},
      {Hadamard::name,
       [](std::span<const StageParameter> all) { return detail::any_stage(detail::make_hadamard(all, "")); }},
      {Shift::name, detail::make_shift},
      {Scale::name, detail::make_scale},
      {Permutation::name, detail::make_permutation},
      {Rotation::name, detail::make_rotation},
      {Dense::name, detail::make_dense},
      {"kronecker", detail::make_kronecker},
      {"block_diagonal", detail::make_block_diagonal},
  };

  std::vector<Entry> entries_;
};

}  // namespace planish::inline PLANISH_ABI
