// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/fold.hpp>

namespace pl = planish;
const auto parts = pl::fold<pl::after_norm_gain>(4);
