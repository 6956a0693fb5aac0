// What calibration refuses: statistics, fits and tapes of shapes that do not fit, losses that fail.
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/channel_range.hpp>
#include <planish/calibration/methods/flatquant/fit.hpp>
#include <planish/calibration/methods/smooth_quant.hpp>
#include <planish/calibration/second_moment.hpp>
#include <planish/calibration/tape/arithmetic.hpp>
#include <planish/calibration/tape/kronecker.hpp>

using namespace planish::calibration;
using planish::ErrorCode;
using planish::MatrixView;

TEST_CASE("SecondMoment: other channels and NaN are refused and change nothing; parts merge to the whole") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  std::vector<float> spoiled = values;
  spoiled[3] = std::numeric_limits<float>::quiet_NaN();
  SecondMoment whole(3), first(3), second(3), other(2);
  REQUIRE(whole.observe({values.data(), 2, 3}).ok());
  CHECK(whole.observe({values.data(), 3, 2}).code() == ErrorCode::shape_mismatch);
  CHECK(std::string(whole.observe({spoiled.data(), 2, 3}).message()) == "activation is not finite at row 1, channel 0");
  CHECK(whole.rows() == 2);
  REQUIRE(first.observe({values.data(), 1, 3}).ok());
  REQUIRE(second.observe({values.data() + 3, 1, 3}).ok());
  REQUIRE(first.merge(second).ok());
  CHECK(first.rows() == 2);
  CHECK((first.moment() - whole.moment()).isZero());
  CHECK((first.mean() - whole.mean()).isZero());
  CHECK(first.merge(other).code() == ErrorCode::shape_mismatch);
}

TEST_CASE("ChannelRange: other channels are refused; the range of all channels") {
  const std::vector<float> values{1, -2, 3, 4, 5, 6};
  ChannelRange range(3), other(2);
  REQUIRE(range.observe({values.data(), 2, 3}).ok());
  CHECK(range.merge(other).code() == ErrorCode::shape_mismatch);
  CHECK(range.whole().lowest == -2.0f);
  CHECK(range.whole().highest == 6.0f);
  std::vector<float> magnitudes{2, 2, 9};
  raise_to_column_magnitudes({values.data(), 2, 3}, magnitudes);
  CHECK(magnitudes == std::vector<float>{4, 5, 9});
}

TEST_CASE("a fit of nothing, and of groups that are none") {
  const std::vector<float> values(12, 0.5f);
  const MatrixView<const float> x(values.data(), 2, 6);
  const std::vector<MatrixView<const float>> weights{x};
  const FlatQuant method{.epochs = 1};
  CHECK(method.fit({values.data(), 0, 6}, weights, {}).status().code() == ErrorCode::invalid_argument);
  CHECK(method.fit(x, {}, {}).status().code() == ErrorCode::invalid_argument);
  const auto fit = method.fit(x, weights, {.weights = 4, .activations = 4, .group_size = -1});
  CHECK(std::string(fit.status().message()) == "groups of -1 columns");
}

TEST_CASE("a loss that fails ends the learning at the start's values; one that is singular is tried again first") {
  for (const ErrorCode code : {ErrorCode::singular, ErrorCode::shape_mismatch}) {
    ParameterSet<float> parameters;
    LearnedMatrix<float>& a = parameters.add("a", 1, 1, 3.0f);
    tape::Tape<float> on;
    const std::vector<float> zero(1);
    int calls = 0;
    const auto report = learn(
        parameters, on, {.epochs = 4, .retries = 2},
        [&](planish::index) {
          if (calls++ % 3 == 2) throw planish::Error(planish::Status(code, "the loss failed"));
          return tape::mean_squared_error(a.record(on), MatrixView<const float>(zero.data(), 1, 1));
        },
        [](const LearnProgress&) { return true; });
    CHECK(report.status().code() == (code == ErrorCode::singular ? ErrorCode::not_finite : code));
    CHECK(std::string(report.status().message())
              .starts_with(code == ErrorCode::singular ? "learning diverged 3 times" : "the loss failed"));
    CHECK(a.values[0] == 3.0f);
  }
}

TEST_CASE("tapes throw where shapes do not fit") {
  const std::vector<float> values(12, 1.0f);
  std::vector<float> gradient(12);
  tape::Tape<float> on;
  const auto matrix = [&](planish::index r, planish::index c) { return on.constant({values.data(), r, c}); };
  CHECK_THROWS_AS((void)on.parameter({values.data(), 2, 3}, {gradient.data(), 3, 2}), planish::Error);
  CHECK_THROWS_AS((void)tape::add_to_rows(matrix(2, 6), matrix(1, 5)), planish::Error);
  CHECK_THROWS_AS((void)tape::kronecker(matrix(2, 6), matrix(2, 2), matrix(3, 3), matrix(1, 5)), planish::Error);
}
