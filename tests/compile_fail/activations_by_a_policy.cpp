// expect: planish: activations are quantized online by Symmetric or Asymmetric over MinMax
#include <planish/linear/site.hpp>
#include <planish/quantizer/policies.hpp>

namespace pl = planish;
using A4 = pl::Quantizer<4, pl::PerToken, pl::policies::QuaRotAsymmetric>;
const auto site = pl::Site<A4, pl::Identity>::make(pl::Identity(4));
