// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/identity.hpp>
#include <planish/transform/transform.hpp>

namespace pl = planish;
const pl::Transform<pl::Identity, int> transform(pl::Identity(4), 4);
