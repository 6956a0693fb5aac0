// expect: planish: a Quantizer has 2 to 8 bits
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
using Layer = pl::QuantizedLinear<pl::Quantizer<9, pl::PerChannel>, pl::KeepFloat>;
const auto layer = Layer::make({}, {}, pl::Identity(4));
