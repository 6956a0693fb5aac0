// expect: planish: a scale is shared PerTensor, PerToken, PerChannel, PerGroup<Size> or PerHead
#include <planish/quantizer/quantized_matrix.hpp>

namespace pl = planish;
const auto codes = pl::QuantizedMatrix<4, pl::Symmetric, pl::Symmetric>::make(1, 1, 1);
