// expect: planish: activations are quantized by a Quantizer<Bits, PerToken>, or KeepFloat
#include <planish/linear/site.hpp>

namespace pl = planish;
const auto site = pl::Site<pl::Identity, pl::Identity>::make(pl::Identity(4));
