// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/transform/transform.hpp>

namespace pl = planish;
struct FloatOnly {
  pl::index size() const { return 4; }
  pl::index scratch_size(pl::index) const { return 0; }
  void apply(pl::MatrixView<const float>, pl::MatrixView<float>, std::span<float>) const {}
  FloatOnly dual() const { return *this; }
};
const auto transform = pl::Transform<FloatOnly>(FloatOnly{});
