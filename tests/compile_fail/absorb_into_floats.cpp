// expect: planish: producers absorb in double, in place
#include <planish/transform/absorb.hpp>
#include <planish/transform/identity.hpp>

namespace pl = planish;
const pl::Status status = pl::absorb_into_producer(pl::Identity(4), pl::MatrixView<float>());
