// expect: planish: forward reads and writes views of one type, float, Half or BFloat16; convert others first
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
using Layer = pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat>;
pl::Status run(const Layer& layer, pl::MatrixView<const double> x, pl::MatrixView<double> y, pl::Workspace memory) {
  return layer.forward(x, y, memory);
}
