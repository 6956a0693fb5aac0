#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/quantizer/fixed_ratio.hpp>
#include <planish/quantizer/mse_shrink.hpp>
#include <planish/quantizer/percentile.hpp>
#include <planish/quantizer/quantizer.hpp>

#include "laws/quantizer_laws.hpp"

namespace pl = planish;

namespace {

constexpr std::pair<pl::index, pl::index> shapes[] = {{1, 1},   {7, 7},    {5, 63}, {3, 64}, {6, 65},
                                                      {2, 576}, {1, 1536}, {0, 16}, {4, 0}};

template <int Bits, class G, class Scale>
void check_all_shapes(pl::Quantizer<Bits, G, Scale> quantizer) {
  for (auto [rows, columns] : shapes) {
    laws::quantizer_laws(quantizer, rows, columns, static_cast<std::uint64_t>(rows * 10007 + columns));
    const auto values = laws::sample_matrix(rows, columns, 11);
    laws::errors_stay_below_half_a_step(quantizer, {values.data(), rows, columns});
  }
}

template <int Bits, class Scale>
void check_all_granularities() {
  check_all_shapes(pl::Quantizer<Bits, pl::PerTensor, Scale>{});
  check_all_shapes(pl::Quantizer<Bits, pl::PerToken, Scale>{});
  check_all_shapes(pl::Quantizer<Bits, pl::PerChannel, Scale>{});
  check_all_shapes(pl::Quantizer<Bits, pl::PerHead, Scale>{});
  check_all_shapes(pl::Quantizer<Bits, pl::PerGroup<32>, Scale>{});
  check_all_shapes(pl::Quantizer<Bits, pl::PerGroup<>, Scale>{.group_size = 7});
}

template <int... Offset>
void check_all_bits(std::integer_sequence<int, Offset...>) {
  (check_all_granularities<2 + Offset, pl::Symmetric>(), ...);
  (check_all_granularities<2 + Offset, pl::Asymmetric>(), ...);
}

}  // namespace

TEST_CASE("every width, granularity and symmetry keeps the laws of a quantizer") {
  check_all_bits(std::make_integer_sequence<int, 7>{});
}

TEST_CASE("clips, static scales and range rules keep the laws") {
  for (auto [rows, columns] : shapes) {
    const auto seed = static_cast<std::uint64_t>(rows + 31 * columns);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerToken>{.clip = {0.75f, 0.5f}}, rows, columns, seed);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerToken, pl::Asymmetric>{.clip = {0.9f, 0.8f}}, rows, columns, seed);
    laws::quantizer_laws(pl::Quantizer<8, pl::PerTensor>{.static_scale = 0.01f}, rows, columns, seed);
    laws::quantizer_laws(
        pl::Quantizer<8, pl::PerTensor, pl::Asymmetric>{.static_scale = 0.01f, .static_zero_point = 77}, rows, columns,
        seed);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerChannel, pl::Symmetric, pl::FixedRatio>{.rule = {0.8f}}, rows, columns,
                         seed);
    laws::quantizer_laws(pl::Quantizer<3, pl::PerChannel, pl::Asymmetric, pl::Percentile>{.rule = {0.95}}, rows,
                         columns, seed);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerGroup<16>, pl::Symmetric, pl::MseShrink>{}, rows, columns, seed);
    laws::quantizer_laws(pl::Quantizer<4, pl::PerChannel, pl::Asymmetric, pl::MseShrink>{}, rows, columns, seed);
  }
}

TEST_CASE("quotients half way between two codes go to the even one") {
  const float row[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 3.5f, 7.0f};  // the scale is 1
  const auto made = pl::Quantizer<4, pl::PerToken>{}.try_quantize({row, 1, 8});
  REQUIRE(made);
  const int expected[] = {0, 2, 2, 0, -2, -2, 4, 7};
  for (pl::index c = 0; c < 8; ++c) CHECK(made->code(0, c) == expected[c]);
}

TEST_CASE("a clip saturates at the two ends of the signed range") {
  const float row[] = {7.0f, -14.0f, 14.0f, 1.0f};
  const auto made = pl::Quantizer<4, pl::PerToken>{.clip = {0.5f, 0.5f}}.try_quantize({row, 1, 4});
  REQUIRE(made);
  CHECK(made->scales()[0] == 1.0f);
  CHECK(made->code(0, 0) == 7);
  CHECK(made->code(0, 1) == -8);
  CHECK(made->code(0, 2) == 7);
}

TEST_CASE("tiles without a usable scale have scale 1 and codes of zero") {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (float value : {0.0f, -0.0f, tiny, 0x1p-127f}) {
    const float row[] = {value, -value, value};
    const auto symmetric = pl::Quantizer<4, pl::PerToken>{}.try_quantize({row, 1, 3});
    const auto asymmetric = pl::Quantizer<4, pl::PerToken, pl::Asymmetric>{}.try_quantize({row, 1, 3});
    const auto shrunk = pl::Quantizer<4, pl::PerToken, pl::Symmetric, pl::MseShrink>{}.try_quantize({row, 1, 3});
    REQUIRE((symmetric && asymmetric && shrunk));
    for (pl::index c = 0; c < 3; ++c) {
      CHECK(symmetric->code(0, c) == 0);
      CHECK(asymmetric->code(0, c) == 0);
      CHECK(shrunk->code(0, c) == 0);
    }
    CHECK(symmetric->scales()[0] == 1.0f);
    CHECK(asymmetric->scales()[0] == 1.0f);
    CHECK(asymmetric->zero_points()[0] == 0);
  }
}

TEST_CASE("values above or below zero only, and a tile that does not divide the row") {
  const float row[] = {5.0f, 6.0f, 7.5f, 2.0f, 3.0f};
  const auto made = pl::Quantizer<4, pl::PerGroup<3>, pl::Asymmetric>{}.try_quantize({row, 1, 5});
  REQUIRE(made);
  CHECK(made->groups() == 2);
  CHECK(made->affine(0, 0).scale == 0.5f);  // the range starts at 0
  CHECK(made->affine(0, 0).zero_point == 0);
  CHECK(made->affine(0, 4).scale == 3.0f / 15.0f);
  const float below[] = {-5.0f, -6.0f, -7.5f};
  const auto negative = pl::Quantizer<4, pl::PerToken, pl::Asymmetric>{}.try_quantize({below, 1, 3});
  REQUIRE(negative);
  CHECK(negative->affine(0, 0).zero_point == 15);
  CHECK(negative->value(0, 2) == -7.5f);
}

TEST_CASE("NaN and infinity are refused, with their place") {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(3 * 40, 1.0f);
    values[2 * 40 + 35] = bad;
    const pl::MatrixView<const float> x(values.data(), 3, 40);
    for (const pl::Status& status : {pl::Quantizer<4, pl::PerChannel>{}.try_quantize(x).status(),
                                     pl::Quantizer<4, pl::PerTensor>{}.try_quantize(x).status(),
                                     pl::Quantizer<4, pl::PerGroup<16>>{}.try_quantize(x).status(),
                                     pl::Quantizer<8, pl::PerToken>{.static_scale = 1.0f}.try_quantize(x).status()}) {
      CHECK(status.code() == pl::ErrorCode::not_finite);
      CHECK(status.message() == "cannot quantize NaN or infinity, found in row 2, column 35");
    }
  }
  const float wide[] = {3e38f, -3e38f};
  CHECK(pl::Quantizer<2, pl::PerToken, pl::Asymmetric>{.clip = {16.0f, 16.0f}}
            .try_quantize({wide, 1, 2})
            .status()
            .code() == pl::ErrorCode::not_finite);
}

TEST_CASE("members outside their ranges are refused") {
  const float row[] = {1.0f, 2.0f};
  const pl::MatrixView<const float> x(row, 1, 2);
  const auto refused = [&](const auto& quantizer) {
    return quantizer.try_quantize(x).status().code() == pl::ErrorCode::invalid_argument;
  };
  CHECK(refused(pl::Quantizer<4, pl::PerToken>{.clip = {0.0f, 1.0f}}));
  CHECK(refused(pl::Quantizer<4, pl::PerToken>{.clip = {std::numeric_limits<float>::quiet_NaN(), 1.0f}}));
  CHECK(refused(pl::Quantizer<4, pl::PerToken>{.static_scale = -1.0f}));
  CHECK(refused(pl::Quantizer<4, pl::PerToken>{.static_scale = std::numeric_limits<float>::infinity()}));
  CHECK(refused(pl::Quantizer<4, pl::PerToken>{.static_scale = 1.0f, .static_zero_point = 3}));
  CHECK(refused(pl::Quantizer<4, pl::PerToken, pl::Asymmetric>{.static_scale = 1.0f, .static_zero_point = 16}));
  CHECK(refused(pl::Quantizer<4, pl::PerGroup<>>{}));
}

TEST_CASE("strided and transposed views quantize like their copies") {
  const auto values = laws::sample_matrix(9, 40, 3);
  const pl::MatrixView<const float> wide(values.data(), 9, 40);
  const auto view = wide.middle_columns(5, 20).transposed();  // 20 x 9
  std::vector<float> copy;
  for (pl::index r = 0; r < view.rows(); ++r)
    for (pl::index c = 0; c < view.columns(); ++c) copy.push_back(view(r, c));
  const auto a = pl::Quantizer<4, pl::PerGroup<4>>{}.try_quantize(view);
  const auto b = pl::Quantizer<4, pl::PerGroup<4>>{}.try_quantize({copy.data(), 20, 9});
  REQUIRE((a && b));
  for (std::size_t i = 0; i < copy.size(); ++i) CHECK(a->codes()[i] == b->codes()[i]);
}

TEST_CASE("a quantized matrix is a value: dequantize, clone, size") {
  const auto values = laws::sample_matrix(4, 33, 8);
  const auto codes = pl::Quantizer<4, pl::PerGroup<16>, pl::Asymmetric>{}.quantize({values.data(), 4, 33});
  const auto back = codes.dequantize();
  CHECK(back.size() == 4 * 33);
  CHECK(back[40] == codes.value(1, 7));
  const auto copy = codes.clone();
  REQUIRE(copy);
  CHECK(copy->value(3, 32) == codes.value(3, 32));
  CHECK(codes.size_bytes() == 4 * 17 + 4 * 3 * 5);
  std::vector<float> other(10);
  CHECK(codes.dequantize({other.data(), 2, 5}).code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("members at the ends of their ranges are taken, and what is beyond is refused on both sides") {
  const float row[] = {1.0f, 2.0f};
  const pl::MatrixView<const float> x(row, 1, 2);
  using Symmetric = pl::Quantizer<4, pl::PerToken>;
  using Asymmetric = pl::Quantizer<4, pl::PerToken, pl::Asymmetric>;
  CHECK(Symmetric{.static_scale = pl::least_scale}.validate().ok());
  CHECK_FALSE(Symmetric{.static_scale = 0x1.fffffcp-127f}.validate().ok());
  CHECK_FALSE(Symmetric{.static_scale = std::numeric_limits<float>::quiet_NaN()}.validate().ok());
  CHECK(Symmetric{.static_zero_point = 3}.validate().ok());  // not read without a static scale
  CHECK(Asymmetric{.static_zero_point = -1}.validate().ok());
  for (const int zero : {0, 1, 15}) CHECK(Asymmetric{.static_scale = 1.0f, .static_zero_point = zero}.validate().ok());
  for (const int zero : {-1, 16}) {
    CHECK_FALSE(Asymmetric{.static_scale = 1.0f, .static_zero_point = zero}.validate().ok());
    CHECK_FALSE(Symmetric{.static_scale = 1.0f, .static_zero_point = zero}.validate().ok());
  }
  CHECK(pl::Quantizer<4, pl::PerGroup<>>{.group_size = 1}.try_quantize(x)->groups() == 2);
  CHECK_FALSE(pl::Quantizer<4, pl::PerGroup<>>{.group_size = 0}.validate().ok());
}

TEST_CASE("a quantized matrix has no negative side, and a group size where it has columns") {
  using Made = pl::QuantizedMatrix<4, pl::PerGroup<>, pl::Symmetric>;
  const auto message = [](pl::index rows, pl::index columns, pl::index group) {
    return std::string(Made::make(rows, columns, group).status().message());
  };
  CHECK(message(-1, 4, 2) == "codes of -1 x 4 in tiles of 1 x 2");
  CHECK(message(4, -1, 2) == "codes of 4 x -1 in tiles of 1 x 2");
  CHECK(message(-2, -3, 2) == "codes of -2 x -3 in tiles of 1 x 2");
  CHECK(message(4, 5, 0) == "codes of 4 x 5 in tiles of 1 x 0");
  CHECK(Made::make(4, 5, 1)->scales().size() == 20);
  CHECK(Made::make(4, 0, 0)->scales().empty());
  CHECK(Made::make(0, 5, 2)->scales().empty());
}

TEST_CASE("values are written where they belong and nowhere else") {
  for (const pl::index rows : {1, 3})
    for (const pl::index columns : {1, 7, 16}) {
      const auto values = laws::sample_matrix(rows, columns, 2);
      const auto made = *pl::Quantizer<4, pl::PerGroup<4>>{}.try_quantize({values.data(), rows, columns});
      std::vector<float> room(static_cast<std::size_t>((rows + 2) * 20), 99.0f);
      const pl::MatrixView<float> whole(room.data(), rows + 2, 20);
      REQUIRE(made.dequantize(whole.middle_rows(1, rows).middle_columns(2, columns)).ok());
      int wrong = 0;
      for (pl::index r = 0; r < rows + 2; ++r)
        for (pl::index c = 0; c < 20; ++c) {
          const bool inside = r >= 1 && r <= rows && c >= 2 && c < columns + 2;
          wrong += whole(r, c) != (inside ? made.value(r - 1, c - 2) : 99.0f);
        }
      CHECK(wrong == 0);
      CHECK(made.dequantize(whole.middle_rows(0, rows + 1).middle_columns(0, columns)).code() ==
            pl::ErrorCode::shape_mismatch);
      CHECK(made.dequantize(whole.middle_rows(0, rows).middle_columns(0, columns + 1)).code() ==
            pl::ErrorCode::shape_mismatch);
    }
}

TEST_CASE("NaN beside a tile is none in it") {
  std::vector<float> values(5 * 8, std::numeric_limits<float>::quiet_NaN());
  const pl::MatrixView<float> whole(values.data(), 5, 8);
  const pl::MatrixView<float> inside = whole.middle_rows(1, 3).middle_columns(2, 4);
  for (pl::index r = 0; r < 3; ++r)
    for (pl::index c = 0; c < 4; ++c) inside(r, c) = static_cast<float>(r - c);
  CHECK(pl::Quantizer<4, pl::PerTensor>{}.try_quantize(inside).has_value());
  CHECK(pl::Quantizer<4, pl::PerToken>{}.try_quantize(inside).has_value());
  CHECK(pl::Quantizer<8, pl::PerToken>{.static_scale = 1.0f}.try_quantize(inside).has_value());
}
