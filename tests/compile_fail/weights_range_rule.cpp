// expect: planish: a range rule is callable, const, with a tile
#include <planish/quantizer/weight_scheme.hpp>

namespace pl = planish;
const auto codes = pl::quantize_weights(pl::MatrixView<const float>(), {.bits = 4}, 0.999);
