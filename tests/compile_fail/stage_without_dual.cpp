// expect: planish: a stage is copyable and has size(), scratch_size(rows), apply(x, y, scratch)
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
struct NoDual {
  pl::index size() const { return 4; }
  pl::index scratch_size(pl::index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T>, pl::MatrixView<T>, std::span<T>) const {}
};
const auto layer = pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat, NoDual>::make({}, {}, NoDual{});
