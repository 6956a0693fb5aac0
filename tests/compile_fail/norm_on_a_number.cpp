// expect: planish: RmsNormRows is computed by Cpu or Reference, or by a tag with rms_norm
#include <planish/linear/produced_rows.hpp>

namespace pl = planish;
const pl::RmsNormRows rows(pl::MatrixView<const float>(), nullptr, 1e-6f, 8);
