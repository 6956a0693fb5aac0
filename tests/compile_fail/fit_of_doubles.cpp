// expect: planish: fit takes the input as a view of float or a SecondMoment, and the weights as a span, array or vector
#include <vector>

#include <planish/calibration/methods/flatquant/options.hpp>

namespace pl = planish;
namespace cal = planish::calibration;
void fit(pl::MatrixView<const float> x, const std::vector<pl::MatrixView<const double>>& weights) {
  const cal::FlatQuant method;
  [[maybe_unused]] const auto fit = method.fit(x, weights, cal::SiteBitwidths{});
}
