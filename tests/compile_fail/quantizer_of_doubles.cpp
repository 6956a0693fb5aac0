// expect: planish: a Quantizer reads a view of float; quantize_weights takes double too
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const auto codes = pl::Quantizer<4, pl::PerChannel>{}.try_quantize(pl::MatrixView<double>());
