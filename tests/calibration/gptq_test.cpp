#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <utility>
#include <vector>

#include <Eigen/LU>
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

// GPTQ by its definition: the inverse of what is left of the damped moment, anew for every column.
pl::Codes by_definition(const Layer& layer, const pl::Codes& grid, const std::vector<pl::index>& order,
                        double damping) {
  const pl::CodesView view = grid.view();
  const pl::index n = layer.columns;
  DoubleMatrix h(n, n);
  const double added = damping * layer.moment.trace() / static_cast<double>(n);
  for (pl::index i = 0; i < n; ++i)
    for (pl::index j = 0; j < n; ++j) {
      const pl::index a = order[static_cast<std::size_t>(i)], b = order[static_cast<std::size_t>(j)];
      h(i, j) = layer.moment(a, b);
      if (i == j) h(i, j) = (h(i, j) == 0.0 ? 1.0 : h(i, j)) + added;
    }
  std::vector<DoubleMatrix> inverses;
  for (pl::index i = 0; i < n; ++i) inverses.emplace_back(h.bottomRightCorner(n - i, n - i).inverse());
  pl::Codes codes = pl::value_or_throw(pl::Codes::make(layer.rows, n, view.bits, view.symmetry, view.group_size));
  for (pl::index r = 0; r < layer.rows; ++r) {
    std::vector<double> rest;
    for (pl::index column : order) rest.push_back(layer.view()(r, column));
    for (pl::index i = 0; i < n; ++i) {
      const pl::index column = order[static_cast<std::size_t>(i)];
      const DoubleMatrix& inverse = inverses[static_cast<std::size_t>(i)];
      const pl::Affine affine = view.affine(r, column / view.group_size);
      const double value = layer.moment(column, column) == 0.0 ? 0.0 : rest[static_cast<std::size_t>(i)];
      const std::int32_t code =
          pl::to_code(static_cast<float>(value), affine, pl::code_range(view.bits, view.symmetry));
      codes.codes()[static_cast<std::size_t>(r * n + column)] = static_cast<std::uint8_t>(code);
      const double error = (value - static_cast<double>(pl::to_value(code, affine))) / inverse(0, 0);
      for (pl::index j = i + 1; j < n; ++j) rest[static_cast<std::size_t>(j)] -= error * inverse(0, j - i);
    }
  }
  return codes;
}

/// As many workers as it says, in the calling thread.
struct InTurn {
  int count;

  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int tasks, Work&& work) {
    for (int task = 0; task < tasks; ++task) work(task, task % count);
  }
};

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

TEST_CASE("GPTQ: the codes of its definition, for any damping, groups, order, block and number of workers") {
  for (pl::index columns : {1, 5, 24})
    for (double damping : {0.01, 0.3, 2.0})
      for (bool activation_order : {false, true})
        for (pl::index block : {1, 8, 128}) {
          CAPTURE(columns);
          CAPTURE(damping);
          CAPTURE(activation_order);
          CAPTURE(block);
          Layer layer = random_layer(7, columns, 41);
          for (pl::index c = 0; c < columns; ++c) {  // channels of very different size, in no order
            const double factor = 0.25 * static_cast<double>(1 + 7 * c % 5);
            layer.moment.row(c) *= factor;
            layer.moment.col(c) *= factor;
          }
          if (columns == 24) {
            layer.moment.row(3).setZero();
            layer.moment.col(3).setZero();
          }
          std::vector<pl::index> order(static_cast<std::size_t>(columns));
          std::iota(order.begin(), order.end(), pl::index{0});
          if (activation_order)
            std::stable_sort(order.begin(), order.end(),
                             [&](pl::index a, pl::index b) { return layer.moment(a, a) > layer.moment(b, b); });
          for (int workers : {1, 3}) {
            pl::Codes codes = nearest(layer, 4, columns == 24 ? 10 : columns);
            const pl::Codes expected = by_definition(layer, codes, order, damping);
            InTurn executor{workers};
            const Gptq method{.damping = damping, .block = block, .activation_order = activation_order};
            REQUIRE(method.round(layer.view(), layer.moment, codes, executor).ok());
            CHECK(same_codes(codes, expected));
          }
        }
}

TEST_CASE("GPTQ: channels of the same size keep their order") {
  Layer layer = random_layer(4, 12, 43);
  for (pl::index i = 0; i < 12; ++i)
    for (pl::index j = 0; j < 12; ++j) layer.moment(i, j) = i == j ? 1.0 : 0.5;
  pl::Codes plain = nearest(layer, 3, 12), ordered = nearest(layer, 3, 12);
  REQUIRE(Gptq{}.round(layer.view(), layer.moment, plain).ok());
  REQUIRE(Gptq{.activation_order = true}.round(layer.view(), layer.moment, ordered).ok());
  CHECK(same_codes(plain, ordered));
}

TEST_CASE("GPTQ: weights, codes and moment are of one shape, and every step is one") {
  const Layer layer = random_layer(3, 8, 3);
  const auto refused = [&](pl::index rows, pl::index columns, pl::index moment_rows, pl::index moment_columns) {
    pl::Codes codes = pl::value_or_throw(pl::Codes::make(rows, columns, 4, pl::Symmetry::symmetric));
    return Gptq{}.round(layer.view(), DoubleMatrix::Identity(moment_rows, moment_columns), codes).code();
  };
  CHECK(refused(4, 8, 8, 8) == pl::ErrorCode::shape_mismatch);
  CHECK(refused(3, 9, 8, 8) == pl::ErrorCode::shape_mismatch);
  CHECK(refused(3, 8, 9, 8) == pl::ErrorCode::shape_mismatch);
  CHECK(refused(3, 8, 8, 9) == pl::ErrorCode::shape_mismatch);
  pl::Codes codes = nearest(layer, 4, 8);
  for (pl::index block : {0, -1})
    CHECK(Gptq{.block = block}.round(layer.view(), layer.moment, codes).code() == pl::ErrorCode::invalid_argument);
  DoubleMatrix broken = layer.moment;
  broken(3, 2) = std::nan("");
  CHECK(Gptq{}.round(layer.view(), broken, codes).code() == pl::ErrorCode::not_finite);
}

TEST_CASE("GPTQ: nothing to round is nothing to refuse") {
  const double one = 1.0;
  for (const auto& [rows, columns] : {std::pair<pl::index, pl::index>{0, 5}, {3, 0}, {0, 0}}) {
    pl::Codes codes = pl::value_or_throw(pl::Codes::make(rows, columns, 4, pl::Symmetry::symmetric));
    CHECK(Gptq{.damping = 0.0}.round({&one, rows, columns}, DoubleMatrix::Identity(columns, columns), codes).ok());
  }
}
