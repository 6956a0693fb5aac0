// expect: planish: a backend is Cpu or Reference, or a tag of your own that satisfies Backend
#include <planish/linear/linear_on.hpp>
#include <planish/quantizer/quantizer.hpp>

namespace pl = planish;
const auto linear = pl::LinearOn<pl::Quantizer<4, pl::PerChannel>>::make_float({});
