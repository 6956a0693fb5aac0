#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/quantizer/quantizer.hpp>

#include "laws/quantizer_laws.hpp"

namespace pl = planish;

namespace {

/// As many rows and columns as it is told; 0 is a mistake.
template <pl::index Rows, pl::index Columns>
struct Tiles {
  static constexpr pl::index tile_rows(pl::index /*rows*/) { return Rows; }
  static constexpr pl::index tile_columns(pl::index /*columns*/) { return Columns; }
};

/// Halves of the matrix, one above the other: tiles may depend on the shape.
struct Halves {
  static constexpr pl::index tile_rows(pl::index rows) { return (rows + 1) / 2; }
  static constexpr pl::index tile_columns(pl::index columns) { return columns; }
};

struct OnlyRows {
  static constexpr pl::index tile_rows(pl::index rows) { return rows; }
};

static_assert(pl::Granularity<Tiles<2, 3>> && pl::Granularity<Halves>);
static_assert(!pl::Granularity<OnlyRows> && !pl::Granularity<int>);

}  // namespace

TEST_CASE("granularities of one's own keep the laws on awkward shapes") {
  for (const pl::index rows : {0, 1, 2, 7, 16})
    for (const pl::index columns : {0, 1, 7, 64, 65}) {
      laws::quantizer_laws(pl::Quantizer<4, Tiles<2, 3>>{}, rows, columns, 1);
      laws::quantizer_laws(pl::Quantizer<8, Tiles<1000, 1000>, pl::Asymmetric>{}, rows, columns, 2);
      laws::quantizer_laws(pl::Quantizer<4, Halves>{}, rows, columns, 3);
    }
}

TEST_CASE("tiles of whole matrices and of rows are PerTensor and PerChannel") {
  const std::vector<float> values = laws::sample_matrix(7, 33, 4);
  const pl::MatrixView<const float> x(values.data(), 7, 33);
  const auto same = [&](const auto& a, const auto& b) {
    REQUIRE(a.scales().size() == b.scales().size());
    for (std::size_t i = 0; i < a.scales().size(); ++i) CHECK(a.scales()[i] == b.scales()[i]);
    for (std::size_t i = 0; i < a.codes().size(); ++i) CHECK(a.codes()[i] == b.codes()[i]);
  };
  same(pl::Quantizer<4, Tiles<7, 33>>{}.quantize(x), pl::Quantizer<4, pl::PerTensor>{}.quantize(x));
  same(pl::Quantizer<4, Tiles<1, 33>>{}.quantize(x), pl::Quantizer<4, pl::PerChannel>{}.quantize(x));
  same(pl::Quantizer<4, Tiles<1, 5>>{}.quantize(x), pl::Quantizer<4, pl::PerGroup<5>>{}.quantize(x));
}

TEST_CASE("a tile without rows or columns is refused, NaN is named where it lies in the matrix") {
  std::vector<float> values(12, 1.0f);
  const auto message = [](const auto& result) { return std::string(result.status().message()); };
  CHECK(message(pl::Quantizer<4, Tiles<0, 3>>{}.try_quantize({values.data(), 3, 4})) ==
        "codes of 3 x 4 in tiles of 0 x 3");
  CHECK(message(pl::Quantizer<4, Tiles<2, 0>>{}.try_quantize({values.data(), 3, 4})) ==
        "codes of 3 x 4 in tiles of 2 x 0");
  values[11] = std::numeric_limits<float>::quiet_NaN();
  CHECK(message(pl::Quantizer<4, Tiles<2, 3>>{}.try_quantize({values.data(), 3, 4})) ==
        "cannot quantize NaN or infinity, found in row 2, column 3");
}
