// What learning holds beside the parameters and the tape. A program of its own, because it counts.
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/optimizer/learn.hpp>
#include <planish/calibration/tape/loss.hpp>

#include "counted_heap.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

namespace calibration = planish::calibration;
using planish::MatrixView;

namespace {

constexpr planish::index rows = 256, columns = 1024;
constexpr std::size_t copy = rows * columns * sizeof(float), small = std::size_t{64} << 10;

/// Bytes that learning a matrix of weights takes at most, less the tape's.
std::size_t taken_by(int epochs) {
  const std::vector<float> target(static_cast<std::size_t>(rows * columns), 1.0f);
  calibration::ParameterSet<float> parameters;
  auto& few = parameters.add("few", 1, 7);
  auto& weights = parameters.add("weights", rows, columns);
  weights.row_rates.assign(rows, 1.0f);
  calibration::tape::Tape<float> on;
  calibration::LearnReport report;
  const std::size_t most = counted_heap::most_of([&] {
    report = planish::value_or_throw(calibration::learn(
        parameters, on, {.epochs = epochs, .learning_rate = 0.02},
        [&](planish::index) {
          static_cast<void>(few.record(on));
          return calibration::tape::mean_squared_error(weights.record(on),
                                                       MatrixView<const float>(target.data(), rows, columns));
        },
        [](const calibration::LearnProgress&) { return true; }));
  });
  CHECK(report.loss_after < report.loss_before);  // so that every epoch was the best
  INFO(most, " bytes, of which the tape has ", on.memory_bytes());
  REQUIRE(most > on.memory_bytes());
  return most - on.memory_bytes();
}

}  // namespace

TEST_CASE("memory: learning weights holds their moments, their start and their best values once each") {
  const std::size_t taken = taken_by(5);
  CHECK(taken >= 3 * copy);
  CHECK(taken <= 4 * copy + small);
}

TEST_CASE("memory: values that are never gone back to are not held") { CHECK(taken_by(1) <= 3 * copy + small); }

#endif
