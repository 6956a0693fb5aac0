// expect: planish: a Quantizer has 2 to 8 bits
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const auto codes = pl::Quantizer<1, pl::PerChannel>{}.try_quantize({});
