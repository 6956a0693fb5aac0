// expect: planish: a backend is Cpu or Reference, or a tag of your own that satisfies Backend
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
struct Avx2 {
  static constexpr const char* name = "avx2";
};
using Layer = pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat, pl::Identity, Avx2>;
const auto layer = Layer::make({}, {}, pl::Identity(4));
