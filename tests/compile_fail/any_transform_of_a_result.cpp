// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/linear/any_transform.hpp>

namespace pl = planish;
const pl::AnyTransform transform(pl::Hadamard::make(4));  // the Result in the place of the stage that is in it
