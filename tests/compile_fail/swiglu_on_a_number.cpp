// expect: planish: SwigluRows is computed by Cpu or Reference, or by a tag with swiglu
#include <planish/linear/produced_rows.hpp>

namespace pl = planish;
const pl::SwigluRows rows(pl::MatrixView<const float>(), pl::MatrixView<const float>(), 8);
