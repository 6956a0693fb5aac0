// expect: planish: keys and values come as views of float
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
pl::Status run(pl::KvCache& cache, pl::MatrixView<const double> k) { return cache.append(k, k); }
