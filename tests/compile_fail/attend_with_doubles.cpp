// expect: planish: queries and outputs of attention are views of float
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
pl::Status run(const pl::KvCache& cache, pl::MatrixView<double> q, pl::MatrixView<float> y, pl::Workspace memory) {
  return cache.attend(q, 0, 1.0f, y, memory);
}
