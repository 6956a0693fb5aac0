// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>

namespace pl = planish;
const pl::index size = pl::BlockDiagonal<pl::Result<pl::Dense>>::make({})->size();
