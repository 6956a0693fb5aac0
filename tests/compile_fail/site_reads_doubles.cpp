// expect: planish: a site reads a view of float, Half or BFloat16, or produced rows
#include <planish/linear/site.hpp>

namespace pl = planish;
using A8 = pl::Quantizer<8, pl::PerToken>;
pl::Status run(const pl::Site<A8, pl::Identity>& site, pl::MatrixView<double> x, pl::Workspace& memory) {
  pl::QuantizedInput in;
  return site.prepare(x, in, memory);
}
