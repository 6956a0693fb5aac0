#include <array>
#include <cstdio>

#include <planish/calibration.hpp>

int main() {
  const std::array<float, 6> x{1.0f, 2.0f, 3.0f, 3.0f, -2.0f, 5.0f};
  planish::calibration::SecondMoment moment(3);
  if (!moment.observe({x.data(), 2, 3}).ok()) return 1;
  const auto mean = moment.mean();
  std::printf("means %g %g %g\n", mean(0), mean(1), mean(2));
  return mean(0) == 2.0 && mean(1) == 0.0 && mean(2) == 4.0 ? 0 : 1;
}
