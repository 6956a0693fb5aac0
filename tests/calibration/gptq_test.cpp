#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/rounding/gptq.hpp>
#include <planish/core/random.hpp>

namespace pl = planish;
using namespace planish::calibration;

namespace {

struct Layer {
  std::vector<double> weights;  // rows × columns
  DoubleMatrix moment;          // columns × columns, strongly correlated inputs
  pl::index rows, columns;
  pl::MatrixView<const double> view() const { return {weights.data(), rows, columns}; }
};

Layer random_layer(pl::index rows, pl::index columns, std::uint64_t seed) {
  pl::Random random(seed);
  Layer layer{std::vector<double>(static_cast<std::size_t>(rows * columns)), {}, rows, columns};
  for (double& w : layer.weights) w = random.normal();
  DoubleMatrix x(4 * columns, columns);
  for (pl::index t = 0; t < x.rows(); ++t) {
    const double common = random.normal();
    for (pl::index c = 0; c < columns; ++c) x(t, c) = common + 0.5 * random.normal();
  }
  layer.moment = x.transpose() * x / static_cast<double>(x.rows());
  return layer;
}

pl::Codes nearest(const Layer& layer, int bits, pl::index group) {
  auto codes = pl::value_or_throw(pl::Codes::make(layer.rows, layer.columns, bits, pl::Symmetry::symmetric, group));
  const pl::index groups = codes.view().groups();
  for (pl::index r = 0; r < layer.rows; ++r)
    for (pl::index g = 0; g < groups; ++g) {
      pl::ValueRange range;
      for (pl::index c = g * group; c < std::min(layer.columns, (g + 1) * group); ++c) {
        range.lowest = std::fmin(range.lowest, static_cast<float>(layer.view()(r, c)));
        range.highest = std::fmax(range.highest, static_cast<float>(layer.view()(r, c)));
      }
      const pl::Affine affine = pl::symmetric_affine(range, {}, bits);
      codes.scales()[static_cast<std::size_t>(r * groups + g)] = affine.scale;
      for (pl::index c = g * group; c < std::min(layer.columns, (g + 1) * group); ++c)
        codes.codes()[static_cast<std::size_t>(r * layer.columns + c)] = static_cast<std::uint8_t>(
            pl::to_code(static_cast<float>(layer.view()(r, c)), affine, pl::code_range(bits, pl::Symmetry::symmetric)));
    }
  return codes;
}

// tr(ΔW S ΔWᵀ): mean squared error of the layer's output.
double output_error(const Layer& layer, const pl::Codes& codes) {
  DoubleMatrix delta(layer.rows, layer.columns);
  for (pl::index r = 0; r < layer.rows; ++r)
    for (pl::index c = 0; c < layer.columns; ++c)
      delta(r, c) = layer.view()(r, c) - static_cast<double>(codes.view().value(r, c));
  return (delta * layer.moment * delta.transpose()).trace();
}

bool same_codes(const pl::Codes& a, const pl::Codes& b) {
  for (pl::index r = 0; r < a.view().rows; ++r)
    for (pl::index c = 0; c < a.view().columns; ++c)
      if (a.view().code(r, c) != b.view().code(r, c)) return false;
  return true;
}

}  // namespace

TEST_CASE("GPTQ: on correlated inputs the output error is well below that of rounding to nearest") {
  for (pl::index columns : {7, 64, 65})
    for (pl::index group : {columns, pl::index{16}})
      for (bool activation_order : {false, true}) {
        CAPTURE(columns);
        CAPTURE(group);
        const Layer layer = random_layer(9, columns, 31);
        pl::Codes codes = nearest(layer, 4, group);
        const double before = output_error(layer, codes);
        REQUIRE(Gptq{.activation_order = activation_order}.round(layer.view(), layer.moment, codes).ok());
        CHECK(output_error(layer, codes) < 0.7 * before);
      }
}

TEST_CASE("GPTQ: uncorrelated inputs leave nothing to push: the codes of rounding to nearest") {
  Layer layer = random_layer(5, 33, 7);
  layer.moment = DoubleMatrix::Identity(33, 33);
  pl::Codes codes = nearest(layer, 3, 33);
  const pl::Codes expected = nearest(layer, 3, 33);
  REQUIRE(Gptq{}.round(layer.view(), layer.moment, codes).ok());
  CHECK(same_codes(codes, expected));
}

TEST_CASE("GPTQ: neither the block size nor the executor changes a code") {
  const Layer layer = random_layer(6, 50, 5);
  pl::Codes whole = nearest(layer, 4, 50);
  REQUIRE(Gptq{.block = 50}.round(layer.view(), layer.moment, whole).ok());
  for (pl::index block : {1, 7, 128}) {
    pl::Codes codes = nearest(layer, 4, 50);
    REQUIRE(Gptq{.block = block}.round(layer.view(), layer.moment, codes).ok());
    CHECK(same_codes(codes, whole));
  }
}

TEST_CASE("GPTQ: dead channels get code 0; shapes and broken moments are refused") {
  Layer layer = random_layer(3, 8, 2);
  layer.moment.row(2).setZero();
  layer.moment.col(2).setZero();
  pl::Codes codes = nearest(layer, 4, 8);
  REQUIRE(Gptq{}.round(layer.view(), layer.moment, codes).ok());
  for (pl::index r = 0; r < 3; ++r) CHECK(codes.view().code(r, 2) == 0);
  CHECK(Gptq{}.round(layer.view(), DoubleMatrix::Identity(7, 7), codes).code() == pl::ErrorCode::shape_mismatch);
  CHECK(Gptq{}.round(layer.view(), DoubleMatrix::Identity(8, 8) * -1.0, codes).code() == pl::ErrorCode::singular);
  CHECK(Gptq{.damping = 0}.round(layer.view(), layer.moment, codes).code() == pl::ErrorCode::invalid_argument);
}
