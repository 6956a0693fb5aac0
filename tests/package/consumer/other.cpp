#include <planish/planish.hpp>  // a second unit: nothing may be defined twice

planish::Status other(planish::MatrixView<const float> x) {
  return x.columns() == 3 ? planish::Status{} : planish::Status(planish::ErrorCode::shape_mismatch, "not 3 columns");
}
