// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/fold.hpp>

namespace pl = planish;
const pl::Status status = pl::fold_into_weights(4, pl::MatrixView<double>());
