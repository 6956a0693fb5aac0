// expect: planish: an executor has workers(), and run(tasks, work) that calls work(task, worker) once for every task
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
pl::Status run(const pl::KvCache& cache) { return cache.attend({}, 0, 1.0f, pl::MatrixView<float>(), {}, 4); }
