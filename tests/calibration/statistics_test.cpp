#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/channel_mean.hpp>
#include <planish/calibration/channel_range.hpp>
#include <planish/calibration/methods/outlier_suppression.hpp>
#include <planish/calibration/methods/smooth_quant.hpp>
#include <planish/calibration/second_moment.hpp>
#include <planish/core/random.hpp>

namespace pl = planish;
using namespace planish::calibration;

namespace {

std::vector<float> random_rows(pl::index rows, pl::index columns, std::uint64_t seed) {
  pl::Random random(seed);
  std::vector<float> x(static_cast<std::size_t>(rows * columns));
  for (float& value : x) value = static_cast<float>(random.normal() + 0.3);
  return x;
}

// T(x) = (x − z)A with a dense A, written out by hand.
struct AffineMap {
  DoubleMatrix a;
  DoubleRow z;
  pl::index scratch_size(pl::index) const { return 0; }
  void apply(pl::MatrixView<const double> x, pl::MatrixView<double> y, std::span<double>) const {
    for (pl::index r = 0; r < x.rows(); ++r)
      for (pl::index c = 0; c < a.cols(); ++c) {
        y(r, c) = 0;
        for (pl::index k = 0; k < a.rows(); ++k) y(r, c) += (x(r, k) - z(k)) * a(k, c);
      }
  }
};

}  // namespace

TEST_CASE("ChannelRange: batches merged are the whole, whatever the cut") {
  const pl::index rows = 37, channels = 7;
  std::vector<float> x = random_rows(rows, channels, 11);
  const pl::MatrixView<const float> view(x.data(), rows, channels);
  ChannelRange whole(channels);
  REQUIRE(whole.observe(view).ok());
  for (pl::index cut : {0, 1, 36}) {
    ChannelRange first(channels), second(channels);
    REQUIRE(first.observe(view.middle_rows(0, cut)).ok());
    REQUIRE(second.observe(view.middle_rows(cut, rows - cut)).ok());
    REQUIRE(first.merge(second).ok());
    CHECK(first.rows() == rows);
    for (pl::index c = 0; c < channels; ++c) {
      CHECK(first[c].lowest == whole[c].lowest);
      CHECK(first[c].highest == whole[c].highest);
    }
  }
  CHECK(whole.observe(view.middle_columns(0, 3)).code() == pl::ErrorCode::shape_mismatch);
  x[10] = std::numeric_limits<float>::quiet_NaN();
  CHECK(whole.observe(view).message() == "activation is not finite at row 1, channel 3");
  CHECK(whole.rows() == rows);
}

TEST_CASE("ChannelMean: the mean of what was seen, in whatever parts") {
  const pl::index rows = 37, channels = 7;
  std::vector<float> x = random_rows(rows, channels, 12);
  const pl::MatrixView<const float> view(x.data(), rows, channels);
  ChannelMean seen(channels);
  CHECK(seen.mean() == std::vector<float>(static_cast<std::size_t>(channels)));
  for (const auto& part : {view.middle_rows(0, 5), view.middle_rows(5, rows - 5)}) REQUIRE(seen.observe(part).ok());
  for (pl::index c = 0; c < channels; ++c) {
    double sum = 0.0;
    for (pl::index r = 0; r < rows; ++r) sum += static_cast<double>(view(r, c));
    CHECK(static_cast<double>(seen.mean()[static_cast<std::size_t>(c)]) ==
          doctest::Approx(sum / static_cast<double>(rows)).epsilon(1e-6));
  }
  CHECK(seen.observe(view.middle_columns(0, 3)).code() == pl::ErrorCode::shape_mismatch);
  const std::vector<float> mean = seen.mean();
  for (const float bad : {HUGE_VALF, -HUGE_VALF, std::numeric_limits<float>::quiet_NaN()}) {
    x[10] = bad;
    CHECK(seen.observe(view).message() == "activation is not finite at row 1, channel 3");
  }
  CHECK(seen.rows() == rows);
  CHECK(seen.mean() == mean);
}

TEST_CASE("SmoothQuant: scaled activations and divided weights meet in the middle at alpha 0.5") {
  ChannelRange activations(3);
  const std::vector<float> x = {8, -1, 0, -2, 4, 0};
  REQUIRE(activations.observe(pl::MatrixView<const float>(x.data(), 2, 3)).ok());
  const std::vector<float> weights = {0.5f, 1.0f, 0.25f};
  const auto c = SmoothQuant{.alpha = 0.5f}.scale(activations, weights);
  REQUIRE(c);
  for (std::size_t j : {0u, 1u})
    CHECK(activations.magnitude(static_cast<pl::index>(j)) * (*c)[j] == doctest::Approx(weights[j] / (*c)[j]));
  CHECK((*c)[2] > 0.0f);  // a dead channel keeps a finite factor
  CHECK(std::isfinite((*c)[2]));
  CHECK(SmoothQuant{.alpha = 1.5f}.scale(activations, weights).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(SmoothQuant{}.scale(ChannelRange(3), weights).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(SmoothQuant{}.scale(activations, std::span(weights).first(2)).status().code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("SmoothQuant: the published form, floors and both ends of alpha among it") {
  ChannelRange activations(4);
  const std::vector<float> x = {8.0f, -0.25f, 0.0f, 1e5f};
  REQUIRE(activations.observe(pl::MatrixView<const float>(x.data(), 1, 4)).ok());
  const std::vector<float> weights = {0.5f, 4.0f, 0.125f, 0.0f};
  const double reach[] = {8.0, 0.25, 1e-5, 1e5}, magnitude[] = {0.5, 4.0, 0.125, 1e-5};
  for (float alpha : {0.0f, 0.25f, 0.5f, 1.0f}) {
    const auto c = SmoothQuant{.alpha = alpha}.scale(activations, weights);
    REQUIRE(c);
    for (std::size_t j = 0; j < 4; ++j) {
      const double a = static_cast<double>(alpha);
      const double published = std::max(std::pow(reach[j], a) / std::pow(magnitude[j], 1.0 - a), 1e-5);
      CHECK(static_cast<double>((*c)[j]) == doctest::Approx(1.0 / published).epsilon(1e-5));
    }
  }
  CHECK(SmoothQuant{.alpha = -0.5f}.scale(activations, weights).status().code() == pl::ErrorCode::invalid_argument);
  CHECK(SmoothQuant{.alpha = std::nanf("")}.scale(activations, weights).status().code() ==
        pl::ErrorCode::invalid_argument);
}

TEST_CASE("column magnitudes are raised, never lowered") {
  const std::vector<float> w = {1.0f, -3.0f, 0.5f, -2.0f, 2.0f, 0.25f};
  std::vector<float> magnitudes = {0.5f, 4.0f, 0.125f};
  raise_to_column_magnitudes({w.data(), 2, 3}, magnitudes);
  CHECK(magnitudes == std::vector<float>{2.0f, 4.0f, 0.5f});
}

TEST_CASE("SecondMoment: of no rows all moments are zero") {
  const SecondMoment none(3);
  CHECK(none.moment().isZero(0.0));
  CHECK(none.mean().isZero(0.0));
}

TEST_CASE("midrange: after the shift both ends of a channel have the same reach") {
  const std::vector<float> x = random_rows(50, 5, 3);
  ChannelRange range(5);
  REQUIRE(range.observe(pl::MatrixView<const float>(x.data(), 50, 5)).ok());
  const auto z = midrange(range);
  REQUIRE(z);
  for (pl::index c = 0; c < 5; ++c) {
    const float centre = (*z)[static_cast<std::size_t>(c)];
    CHECK(range[c].highest - centre == doctest::Approx(centre - range[c].lowest).epsilon(1e-5));
  }
  CHECK_FALSE(midrange(ChannelRange(5)).has_value());
}

TEST_CASE("transformed_moment: equals the moment of the transformed rows, shift included") {
  for (pl::index n : {1, 7, 24}) {
    CAPTURE(n);
    const pl::index rows = 3 * n + 2;
    const std::vector<float> x = random_rows(rows, n, 17);
    SecondMoment before(n);
    REQUIRE(before.observe(pl::MatrixView<const float>(x.data(), rows, n)).ok());
    pl::Random random(23);
    AffineMap map{DoubleMatrix(n, n), DoubleRow(n)};
    for (pl::index i = 0; i < n; ++i) {
      map.z(i) = random.normal();
      for (pl::index j = 0; j < n; ++j) map.a(i, j) = random.normal();
    }
    DoubleMatrix expected = DoubleMatrix::Zero(n, n);
    for (pl::index r = 0; r < rows; ++r) {
      DoubleRow row(n), out(n);
      for (pl::index c = 0; c < n; ++c) row(c) = static_cast<double>(x[static_cast<std::size_t>(r * n + c)]);
      map.apply(pl::MatrixView<const double>(row.data(), 1, n), pl::MatrixView<double>(out.data(), 1, n), {});
      expected += out.transpose() * out / static_cast<double>(rows);
    }
    CHECK((transformed_moment(before, map) - expected).norm() <= 1e-12 * expected.norm());
  }
}
