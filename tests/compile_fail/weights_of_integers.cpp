// expect: planish: weights are float or double
#include <planish/quantizer/weight_scheme.hpp>

namespace pl = planish;
const auto codes = pl::quantize_weights(pl::MatrixView<const int>(), {.bits = 4});
