// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/block_diagonal.hpp>

namespace pl = planish;
const pl::BlockDiagonal<float> blocks(std::vector<float>{1.0f});
