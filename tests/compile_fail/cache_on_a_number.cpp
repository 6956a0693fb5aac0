// expect: planish: a cache is kept by Cpu or Reference
#include <planish/kv_cache/kv_cache.hpp>

namespace pl = planish;
pl::KvCache cache;
const pl::Status status = cache.append({}, {}, 8);
