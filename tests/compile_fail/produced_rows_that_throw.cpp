// expect: planish: a site reads a view of float, Half or BFloat16, or produced rows
#include <planish/linear/any_site.hpp>

namespace pl = planish;
struct Rows {
  pl::index rows() const { return 1; }
  pl::index columns() const { return 4; }
  void fill(pl::index, pl::MatrixView<float>) const {}  // not noexcept
};
pl::Status run(const pl::AnySite& site, pl::Workspace& memory) {
  pl::QuantizedInput in;
  return site.prepare(Rows{}, in, memory);
}
