#pragma once
#include <concepts>
#include <span>
#include <string_view>

#include <planish/core/array.hpp>
#include <planish/linear/any_stage.hpp>
#if !defined(PLANISH_SEPARATE_BODIES)
#include <planish/linear/built_in_stages.hpp>
#endif

namespace planish::inline PLANISH_ABI {

/// Makes a stage from what a file says of it.
using StageFactory = Result<AnyStage> (*)(std::span<const StageParameter> parameters);

#if defined(PLANISH_SEPARATE_BODIES)
namespace detail {
Result<AnyStage> make_built_in_stage(std::string_view name, std::span<const StageParameter> all);
}
#endif

/// Which stages a file may name: planish's own, and what the host adds. A value; nothing global.
class StageRegistry {
 public:
  /// Adds a stage of the host, or replaces one of planish's for this registry. `name` must outlive it.
  PLANISH_LAZY void add(std::string_view name, StageFactory factory) { entries_.push_back({name, factory}); }
  /// Anything else, for a sentence.
  template <class F>
  requires(!std::convertible_to<F, StageFactory>) void add(std::string_view, F&&) {
    static_assert(
        std::convertible_to<F, StageFactory>,
        "planish: a factory is a function, or a lambda without captures, from std::span<const StageParameter> "
        "to Result<AnyStage>");
  }

  /// The stage of this name. Errors: `unsupported` for an unknown name, else what the stage's own `make` says.
  PLANISH_LAZY [[nodiscard]] Result<AnyStage> make(std::string_view name,
                                                   std::span<const StageParameter> parameters) const {
    for (std::size_t i = entries_.size(); i > 0; --i)  // those added last first
      if (entries_[i - 1].name == name) return entries_[i - 1].factory(parameters);
    return detail::make_built_in_stage(name, parameters);
  }

 private:
  struct Entry {
    std::string_view name;
    StageFactory factory;
  };
  Array<Entry> entries_;
};

}  // namespace planish::inline PLANISH_ABI
