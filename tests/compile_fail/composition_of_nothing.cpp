// expect: planish: a Transform has at least one stage; use Identity for none
#include <planish/transform/identity.hpp>
#include <planish/transform/transform.hpp>

namespace pl = planish;
const pl::index stages = pl::Transform<>::stage_count;
