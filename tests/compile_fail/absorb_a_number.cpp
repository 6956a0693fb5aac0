// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/absorb.hpp>

namespace pl = planish;
const pl::Status status = pl::absorb_into_norm(4, std::span<double>());
