// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/linear/site.hpp>

namespace pl = planish;
// The Result of make() in the place of the stage that is in it.
using Made = pl::Result<pl::Hadamard>;
pl::Site<pl::KeepFloat, Made>* site = nullptr;
const auto description = site->describe();
