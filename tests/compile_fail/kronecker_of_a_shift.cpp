// expect: planish: factors of Kronecker must be linear; put Shift in front of it
#include <planish/transform/kronecker.hpp>
#include <planish/transform/shift.hpp>

namespace pl = planish;
const pl::index size = pl::Kronecker<pl::Shift, pl::Identity>(pl::Shift({1.0f}), pl::Identity(4)).size();
