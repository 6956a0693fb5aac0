// expect: planish: an executor has workers(), and run(tasks, work) that calls work(task, worker) once for every task
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
struct Pool {
  int workers() const noexcept { return 4; }
};
using Layer = pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat>;
pl::Status run(const Layer& layer, Pool& pool) { return layer.forward({}, pl::MatrixView<float>(), {}, pool); }
