// expect: planish: PerGroup<Size> needs at least one column
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const auto codes = pl::Quantizer<4, pl::PerGroup<0>>{}.try_quantize({});
