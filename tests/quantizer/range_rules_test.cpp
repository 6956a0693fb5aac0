#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/quantizer/fixed_ratio.hpp>
#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/percentile.hpp>
#include <planish/quantizer/policies.hpp>
#include <planish/quantizer/quantizer.hpp>

#include "laws/quantizer_laws.hpp"

namespace pl = planish;

namespace {

/// Σ|ŵ − w|^2.4 in float64, as the paper prints it.
template <class Scale>
double error_of(pl::MatrixView<const float> tile, pl::TileScheme<Scale> scheme, pl::ValueRange range) {
  const pl::Affine affine = scheme.affine(range);
  double sum = 0.0;
  for (pl::index r = 0; r < tile.rows(); ++r)
    for (pl::index c = 0; c < tile.columns(); ++c) {
      const float back = pl::to_value(pl::to_code(tile(r, c), affine, scheme.codes()), affine);
      sum += std::pow(std::fabs(static_cast<double>(back) - static_cast<double>(tile(r, c))), 2.4);
    }
  return sum;
}

template <class Scale>
void check_shrink(int bits, pl::index columns, std::uint64_t seed) {
  INFO("bits " << bits << ", columns " << columns << ", seed " << seed);
  const auto values = laws::sample_matrix(2, columns, seed, 0.02);
  for (pl::index r = 0; r < 2; ++r) {
    const pl::MatrixView<const float> tile(values.data() + r * columns, 1, columns);
    const pl::TileScheme<Scale> scheme{bits, {}};
    const pl::ValueRange full = pl::MinMax{}(tile), chosen = pl::MseShrink{}(tile, scheme);
    double least = error_of(tile, scheme, full);
    for (int i = 1; i < 80; ++i) {
      const float part = static_cast<float>(100 - i) / 100.0f;
      least = std::fmin(least, error_of(tile, scheme, {full.lowest * part, full.highest * part}));
    }
    CHECK(error_of(tile, scheme, chosen) <= least * (1.0 + 1e-5) + 1e-300);
  }
}

}  // namespace

TEST_CASE("the power of the shrink search is x^2.4 to a millionth") {
  CHECK(pl::detail::power_2_4(0.0f) == 0.0f);
  for (double x = 1e-6; x < 300.0; x *= 1.013) {
    const auto found = static_cast<double>(pl::detail::power_2_4(static_cast<float>(x)));
    CHECK(found == doctest::Approx(std::pow(static_cast<double>(static_cast<float>(x)), 2.4)).epsilon(2e-6));
  }
}

TEST_CASE("the shrink search finds the best of its eighty ranges") {
  for (int bits : {2, 3, 4, 6, 8})
    for (pl::index columns : {1, 7, 63, 64, 65, 576}) {
      check_shrink<pl::Symmetric>(bits, columns, static_cast<std::uint64_t>(bits * 1000 + columns));
      check_shrink<pl::Asymmetric>(bits, columns, static_cast<std::uint64_t>(bits * 2000 + columns));
    }
}

TEST_CASE("shrinking is worth it at four bits with an outlier, and keeps what is exact") {
  auto values = laws::sample_matrix(1, 576, 5);
  values[100] = 12.0f;
  const pl::MatrixView<const float> tile(values.data(), 1, 576);
  const pl::TileScheme<pl::Symmetric> scheme{4, {}};
  CHECK(pl::MseShrink{}(tile, scheme).highest < 12.0f);
  const float exact[] = {-7.0f, 3.0f, 1.0f, 7.0f};
  CHECK(pl::MseShrink{}(pl::MatrixView<const float>(exact, 1, 4), scheme).highest == 7.0f);
}

TEST_CASE("a percentile cuts both tails by rank") {
  std::vector<float> values;
  for (int i = 0; i <= 100; ++i) values.push_back(static_cast<float>((i * 37) % 101));  // 0 .. 100 in some order
  const pl::MatrixView<const float> tile(values.data(), 1, 101);
  const pl::ValueRange cut = pl::Percentile{0.95}(tile);
  CHECK(cut.lowest == 5.0f);
  CHECK(cut.highest == 95.0f);
  const pl::ValueRange between = pl::Percentile{0.995}(tile);
  CHECK(between.lowest == 0.0f);
  CHECK(between.highest == 100.0f);
  for (const double half : {0.5, 0.2, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    const pl::ValueRange middle = pl::Percentile{half}(tile);
    CHECK((middle.lowest == 50.0f && middle.highest == 50.0f));
  }
  for (const double all : {1.0, 2.0}) {
    const pl::ValueRange whole = pl::Percentile{all}(tile);
    CHECK((whole.lowest == 0.0f && whole.highest == 100.0f));
  }
  CHECK(pl::Percentile{}(pl::MatrixView<const float>(values.data(), 0, 5)).highest == 0.0f);
}

TEST_CASE("a fixed ratio takes both ends alike") {
  const float row[] = {-4.0f, 8.0f};
  const pl::ValueRange range = pl::FixedRatio{0.5f}(pl::MatrixView<const float>(row, 1, 2));
  CHECK(range.lowest == -2.0f);
  CHECK(range.highest == 4.0f);
}

TEST_CASE("anything callable with a tile is a range rule") {
  const auto three_sigma = [](pl::MatrixView<const float> tile) {
    double square = 0.0;
    for (pl::index c = 0; c < tile.columns(); ++c)
      square += static_cast<double>(tile(0, c)) * static_cast<double>(tile(0, c));
    const auto reach = static_cast<float>(3.0 * std::sqrt(square / static_cast<double>(tile.columns())));
    return pl::ValueRange{-reach, reach};
  };
  static_assert(pl::RangeRule<decltype(three_sigma)>);
  const float row[] = {1.0f, -1.0f, 1.0f, -1.0f};
  const pl::Quantizer<4, pl::PerChannel, pl::Symmetric, decltype(three_sigma)> quantizer{.rule = three_sigma};
  const auto made = quantizer.try_quantize({row, 1, 4});
  REQUIRE(made);
  CHECK(made->scales()[0] == 3.0f / 7.0f);
}

TEST_CASE("the shrink search where 0 is no code: lanes that the row does not fill cost nothing") {
  for (const pl::index columns : {1, 5, 31, 32, 33, 63, 95})
    for (const float offset : {3.0f, 40.0f}) {
      CAPTURE(columns);
      auto values = laws::sample_matrix(1, columns, static_cast<std::uint64_t>(columns));
      for (float& value : values) value = std::fabs(value) + offset;
      const pl::MatrixView<const float> tile(values.data(), 1, columns);
      const pl::TileScheme<pl::policies::OmniQuantAsymmetric> scheme{3, {}};
      const pl::ValueRange full = pl::MinMax{}(tile);
      double least = error_of(tile, scheme, full);
      for (int i = 1; i < 80; ++i) {
        const float part = static_cast<float>(100 - i) / 100.0f;
        least = std::fmin(least, error_of(tile, scheme, {full.lowest * part, full.highest * part}));
      }
      CHECK(error_of(tile, scheme, pl::MseShrink{}(tile, scheme)) <= least * (1.0 + 1e-4) + 1e-300);
    }
}

TEST_CASE("the shrink search reads a tile through its strides, and rows one after the other") {
  const auto values = laws::sample_matrix(80, 70, 9, 0.02);
  const pl::MatrixView<const float> whole(values.data(), 80, 70);
  const pl::TileScheme<pl::Symmetric> scheme{3, {}};
  const auto same_as_copy = [&](pl::MatrixView<const float> tile) {
    std::vector<float> copy;
    for (pl::index r = 0; r < tile.rows(); ++r)
      for (pl::index c = 0; c < tile.columns(); ++c) copy.push_back(tile(r, c));
    const pl::MatrixView<const float> dense(copy.data(), tile.rows(), tile.columns());
    const pl::ValueRange a = pl::MseShrink{}(tile, scheme), b = pl::MseShrink{}(dense, scheme);
    CHECK((a.lowest == b.lowest && a.highest == b.highest));
  };
  for (const pl::index first : {0, 3})
    for (const pl::index count : {1, 7, 31, 32, 33, 64}) {
      CAPTURE(count);
      same_as_copy(whole.middle_columns(first, count));
      same_as_copy(whole.middle_columns(first, 3).middle_rows(1, count).transposed());
      same_as_copy(whole.middle_rows(first, 2).middle_columns(2, count));
    }
}

TEST_CASE("the shrink search takes the largest part where all cost the same, and none below 21 of 100") {
  const pl::TileScheme<pl::Symmetric> scheme{2, {}};
  const float tiny[] = {1e-40f, -1e-40f, 0.0f};
  const pl::ValueRange kept = pl::MseShrink{}(pl::MatrixView<const float>(tiny, 1, 3), scheme);
  CHECK((kept.lowest == -1e-40f && kept.highest == 1e-40f));
  std::vector<float> values(4096, 0.2f);  // which 20 of 100 would make exact
  values[77] = 1.0f;
  CHECK(pl::MseShrink{}(pl::MatrixView<const float>(values.data(), 1, 4096), scheme).highest == 0.21f);
}

TEST_CASE("range rules see their tile alone, all of its rows and columns") {
  for (const pl::index rows : {1, 2, 5})
    for (const pl::index columns : {1, 3, 8}) {
      std::vector<float> values(7 * 10, 1e6f);
      for (std::size_t i = 0; i < values.size(); i += 2) values[i] = -1e6f;
      const pl::MatrixView<float> whole(values.data(), 7, 10);
      const pl::MatrixView<float> tile = whole.middle_rows(1, rows).middle_columns(1, columns);
      std::vector<float> inside;
      for (pl::index r = 0; r < rows; ++r)
        for (pl::index c = 0; c < columns; ++c) {
          tile(r, c) = static_cast<float>((r * columns + c) * 7 % (rows * columns) - 3);
          inside.push_back(tile(r, c));
        }
      const auto [least, most] = std::minmax_element(inside.begin(), inside.end());
      const pl::ValueRange range = pl::MinMax{}(tile), percentile = pl::Percentile{1.0}(tile);
      CHECK((range.lowest == *least && range.highest == *most));
      CHECK((percentile.lowest == *least && percentile.highest == *most));
      const pl::ValueRange most_of_it = pl::Percentile{0.7}(tile);
      const pl::ValueRange of_copy = pl::Percentile{0.7}(pl::MatrixView<const float>(inside.data(), 1, rows * columns));
      CHECK((most_of_it.lowest == of_copy.lowest && most_of_it.highest == of_copy.highest));
    }
}
