// expect: planish: activations are quantized online by Symmetric or Asymmetric over MinMax
#include <planish/linear/quantized_linear.hpp>
#include <planish/quantizer/mse_shrink.hpp>

namespace pl = planish;
using A4 = pl::Quantizer<4, pl::PerToken, pl::Symmetric, pl::MseShrink>;
const auto layer = pl::QuantizedLinear<pl::KeepFloat, A4>::make({}, {}, pl::Identity(4));
