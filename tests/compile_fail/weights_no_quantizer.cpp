// expect: planish: weights are quantized by a Quantizer<Bits, Granularity>, or KeepFloat
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
using Layer = pl::QuantizedLinear<pl::PerChannel, pl::KeepFloat>;
const auto layer = Layer::make({}, {}, pl::Identity(4));
