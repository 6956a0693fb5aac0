// expect: planish: weights and bias are folded in double, in place
#include <planish/transform/fold.hpp>

namespace pl = planish;
const pl::Status status = pl::fold_into_weights(pl::Identity(4), pl::MatrixView<float>());
