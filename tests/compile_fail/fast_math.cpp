// flags: -ffast-math
// expect: planish: -ffast-math and --use_fast_math change codes
#include <planish/core/status.hpp>

namespace pl = planish;
const pl::Status status;
