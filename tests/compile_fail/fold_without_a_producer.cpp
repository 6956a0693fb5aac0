// expect: planish: fold<Tag> is told what stands between producer and consumers
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>

namespace pl = planish;
const auto parts = pl::fold<pl::Hadamard>(pl::Identity(4));
