// expect: planish: PerChannel and PerGroup are for weights; activations take PerToken
#include <planish/linear/site.hpp>

namespace pl = planish;
const auto site = pl::Site<pl::Quantizer<8, pl::PerChannel>, pl::Identity>::make(pl::Identity(4));
