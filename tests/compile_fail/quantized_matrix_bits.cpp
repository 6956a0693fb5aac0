// expect: planish: a QuantizedMatrix has codes of 2 to 8 bits
#include <planish/quantizer/quantized_matrix.hpp>

namespace pl = planish;
const auto codes = pl::QuantizedMatrix<16, pl::PerChannel, pl::Symmetric>::make(1, 1, 1);
