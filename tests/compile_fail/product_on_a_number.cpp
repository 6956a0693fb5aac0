// expect: planish: a backend is Cpu or Reference, or a tag of your own that satisfies Backend
#include <planish/linear/multiply_together.hpp>

namespace pl = planish;
const pl::SiteProduct<int> product{};
