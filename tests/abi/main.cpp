// Two units for two instruction sets in one program: each runs its own code, and both get the same numbers.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "unit.hpp"

int main() {
  constexpr planish::index rows = 5, columns = 96, channels = 70;
  std::vector<float> x(rows * columns), w(channels * columns), narrow(rows * channels), broad(rows * channels);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 0.37f);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::cos(static_cast<float>(i) * 0.11f);
  const planish::MatrixView<const float> input(x.data(), rows, columns), weights(w.data(), channels, columns);

  int failures = 0;
  const auto expect = [&failures](bool holds, const char* what) {
    if (!holds) {
      std::printf("failed: %s\n", what);
      ++failures;
    }
  };
  const planish::Status first = baseline::multiply(input, weights, {narrow.data(), rows, channels}, {});
  const planish::Status second = wide::multiply(input, weights, {broad.data(), rows, channels}, {});
  std::printf("baseline: %s, %s; wide: %s, %s\n", baseline::instruction_set(), baseline::backend(),
              wide::instruction_set(), wide::backend());
  for (const planish::Status& status : {first, second})
    if (!status.ok()) std::printf("%.*s\n", static_cast<int>(status.message().size()), status.message().data());
  expect(first.ok() && second.ok(), "both units multiply");
  expect(std::strcmp(baseline::instruction_set(), wide::instruction_set()) != 0, "the units have different tags");
  expect(std::strcmp(baseline::backend(), wide::backend()) != 0, "each unit runs its own kernels");
  float largest = 0, apart = 0;
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    largest = std::fmax(largest, std::fabs(narrow[i]));
    apart = std::fmax(apart, std::fabs(narrow[i] - broad[i]));
  }
  // The transform's float sums may be rounded differently, and one code may then flip; the product may not drift.
  expect(largest > 0 && apart <= 0.02f * largest, "both units get the same numbers");
  return failures == 0 ? 0 : 1;
}
