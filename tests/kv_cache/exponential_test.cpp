#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/exponential.hpp>

namespace planish::test {

TEST_CASE("powers of two: close to the library's, and the same in every lane") {
  double worst = 0;
  bool equal = true;
  for (int step = 0; step < 400000; ++step) {
    float x[16];
    for (int i = 0; i < 16; ++i) x[i] = -126.0f + static_cast<float>(step * 16 + i) * (252.0f / (400000 * 16));
    float lanes[16];
    kernels::cpu::power_of_two(kernels::cpu::FloatBatch::load_unaligned(x)).store_unaligned(lanes);
    for (index i = 0; i < kernels::cpu::float_lanes; ++i) {
      const float scalar = kernels::reference::power_of_two(x[i]);
      equal = equal && scalar == lanes[i];
      const double exact = std::exp2(static_cast<double>(x[i]));
      worst = std::max(worst, std::abs(static_cast<double>(scalar) / exact - 1.0));
    }
  }
  CHECK(equal);
  INFO("worst relative error ", worst);
  CHECK(worst < 1.3e-7);
}

TEST_CASE("powers of two: exact ends") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const float x[16] = {0.0f, -1.0f, -infinity, -126.0f, -126.5f, -1e30f, nan,       10.0f,
                       0.0f, -0.0f, 1.0f,      -2.0f,   -3.0f,   nan,    -infinity, 127.0f};
  const float expected[16] = {1.0f, 0.5f, 0.0f, 0x1p-126f, 0.0f,   0.0f, nan,  1024.0f,
                              1.0f, 1.0f, 2.0f, 0.25f,     0.125f, nan,  0.0f, 0x1p127f};
  for (index first = 0; first < 16; first += kernels::cpu::float_lanes) {
    float lanes[16];
    kernels::cpu::power_of_two(kernels::cpu::FloatBatch::load_unaligned(x + first)).store_unaligned(lanes);
    for (index i = 0; i < kernels::cpu::float_lanes; ++i) {
      const float want = expected[first + i], scalar = kernels::reference::power_of_two(x[first + i]);
      INFO("x = ", x[first + i]);
      CHECK(((scalar == want) || (std::isnan(scalar) && std::isnan(want))));
      CHECK(((lanes[i] == want) || (std::isnan(lanes[i]) && std::isnan(want))));
    }
  }
}

}  // namespace planish::test
