// expect: planish: a cache is kept by Cpu or Reference
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
struct Gpu {};
pl::Status run(const pl::KvCache& cache, pl::MatrixView<float> q, pl::Workspace memory) {
  return cache.attend(q, 0, 1.0f, q, memory, {}, Gpu{});
}
