// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/kronecker.hpp>
#include <planish/transform/shift.hpp>

namespace pl = planish;
const pl::Kronecker<int, int> kronecker(4, 4);
