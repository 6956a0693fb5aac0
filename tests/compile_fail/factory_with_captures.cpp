// expect: planish: a factory is a function, or a lambda without captures, from std::span<const StageParameter>
#include <planish/linear/stage_registry.hpp>

namespace pl = planish;
void add(pl::StageRegistry& registry, pl::index size) {
  registry.add("mine", [size](std::span<const pl::StageParameter>) -> pl::Result<pl::AnyStage> {
    return pl::AnyStage(pl::Identity(size));
  });
}
