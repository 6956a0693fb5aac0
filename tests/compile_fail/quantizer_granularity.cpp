// expect: planish: a scale is shared PerTensor, PerToken, PerChannel, PerGroup<Size> or PerHead
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const pl::Quantizer<4, int> quantizer;
