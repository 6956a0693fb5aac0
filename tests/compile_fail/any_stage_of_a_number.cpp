// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/linear/any_stage.hpp>

namespace pl = planish;
const pl::AnyStage stage(4);
