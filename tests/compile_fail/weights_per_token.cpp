// expect: planish: PerToken and PerHead are for activations; weights take PerChannel
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
using Swapped = pl::QuantizedLinear<pl::Quantizer<8, pl::PerToken>, pl::Quantizer<4, pl::PerChannel>>;
const auto layer = Swapped::make({}, {}, pl::Identity(4));
