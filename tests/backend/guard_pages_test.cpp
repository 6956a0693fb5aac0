// Every product, and everything that goes row by row, with each of its operands against a page that nobody may touch:
// kernels read and write what is theirs, and not one byte more, whatever the shape, stride and alignment. Each
// instruction set has its own build of these tests.
#include <doctest/doctest.h>

#include <planish/backend/default.hpp>
#include <planish/backend/reference.hpp>
#include <planish/core/random.hpp>
#include <planish/packing/codes.hpp>

#include "guarded_memory.hpp"
#include "kernels/samples.hpp"

namespace pl = planish;
using guarded::Buffer;
using guarded::Edge;
using guarded::Layout;
using guarded::Matrix;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

struct Case {
  index rows, columns, channels, group_size;
  int bits;
  Symmetry symmetry;
  std::uint64_t seed;
  Edge edge;

  static Case random(std::uint64_t seed, Edge edge) {
    pl::Random random(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<index>(random.below(n)); };
    const index columns = random.below(4) == 0 ? 1 + below(600) : 1 + below(90);
    return {below(20),
            columns,
            1 + below(100),
            below(2) * below(static_cast<std::uint64_t>(columns)),
            2 + static_cast<int>(below(7)),
            below(2) == 0 ? Symmetry::symmetric : Symmetry::asymmetric,
            seed,
            edge};
  }
};

/// Quantized rows, each of their arrays by itself.
struct GuardedRows {
  GuardedRows(index rows, index columns, bool asymmetric, Edge edge)
      : codes(rows * pl::quantized_rows_stride(columns), edge),
        scales(rows, edge),
        sums(rows, edge),
        zero_points(asymmetric ? rows : 0, edge),
        span{codes.data(),
             rows,
             columns,
             pl::quantized_rows_stride(columns),
             scales.data(),
             sums.data(),
             asymmetric ? zero_points.data() : nullptr} {}

  Buffer<std::int8_t> codes;
  Buffer<float> scales;
  Buffer<std::int32_t> sums, zero_points;
  pl::QuantizedRowsSpan span;
};

/// Packed weights, each of their arrays by itself.
struct GuardedWeights {
  GuardedWeights(const pl::PackedWeightsView& from, Edge edge) : GuardedWeights(from, edge, side_of(from)) {}

  Buffer<std::uint8_t> panels;
  Buffer<float> scales;
  Buffer<std::int32_t> zeros, sums;
  pl::PackedWeightsView view;

 private:
  static std::size_t side_of(const pl::PackedWeightsView& w) {
    return static_cast<std::size_t>(w.panel_count() * w.groups() * pl::panel_width);
  }
  GuardedWeights(const pl::PackedWeightsView& from, Edge edge, std::size_t side)
      : panels({from.panels, static_cast<std::size_t>(from.panel_count() * from.panel_bytes())}, edge),
        scales({from.scales, side}, edge),
        zeros({from.zeros, side}, edge),
        sums({from.sums, side}, edge),
        view(from) {
    view.panels = panels.data();
    view.scales = scales.data();
    view.zeros = zeros.data();
    view.sums = sums.data();
  }
};

void check_products(const Case& c) {
  CAPTURE(c.seed);
  pl::Random random(c.seed);
  const bool asymmetric = c.symmetry == Symmetry::asymmetric;
  const Matrix x(Layout::random(c.rows, c.columns, random), c.edge, random);
  const GuardedRows codes(c.rows, c.columns, asymmetric, c.edge), oracle(c.rows, c.columns, asymmetric, c.edge);
  const pl::RowQuantizer q{.bits = c.bits, .symmetry = c.symmetry};
  CHECK(pl::quantize(pl::Cpu{}, x.view(), q, codes.span) == 0);
  CHECK(pl::quantize(pl::Reference{}, x.view(), q, oracle.span) == 0);
  CHECK(std::equal(codes.codes.span().begin(), codes.codes.span().end(), oracle.codes.span().begin()));

  const auto packed =
      pl::PackedWeights::make(samples::codes(c.channels, c.columns, c.bits, c.symmetry, c.group_size, random).view());
  REQUIRE(packed.has_value());
  const GuardedWeights w(packed->view(), c.edge);
  const Buffer<float> bias(std::span<const float>(samples::floats(c.channels, random)), c.edge);
  const Matrix residual(Layout::random(c.rows, c.channels, random), c.edge, random);
  pl::Epilogue epilogue{bias.data(), {}};
  if (random.below(2) == 0) epilogue.residual = residual.view();
  const Buffer<std::byte> scratch(
      static_cast<index>(pl::multiply_scratch_bytes(pl::Cpu{}, c.rows, c.columns, w.view.groups())), c.edge);
  const Layout y_layout = Layout::random(c.rows, c.channels, random);
  const pl::Range all{0, w.view.panel_count()};

  const Matrix expected(y_layout, c.edge);
  pl::multiply(pl::Reference{}, codes.span, w.view, epilogue, expected.view(), all, {});
  const Matrix y(y_layout, c.edge);
  pl::multiply(pl::Cpu{}, codes.span, w.view, epilogue, y.view(), all, scratch.span());
  CHECK(guarded::same(y.all(), expected.all()));
  const Buffer<std::int32_t> sums(c.rows * c.channels * w.view.groups(), c.edge);
  pl::multiply_accumulators(pl::Cpu{}, codes.span, w.view, {sums.data(), c.rows, c.channels * w.view.groups()}, all,
                            scratch.span());

  const Matrix of_codes(y_layout, c.edge), expected_of_codes(y_layout, c.edge);
  pl::multiply(pl::Reference{}, x.view(), w.view, epilogue, expected_of_codes.view(), all, {});
  pl::multiply(pl::Cpu{}, x.view(), w.view, epilogue, of_codes.view(), all, scratch.span());
  CHECK(guarded::same(of_codes.all(), expected_of_codes.all()));

  const std::vector<float> weights = samples::floats(c.channels * c.columns, random);
  const auto panels = pl::FloatPanels::make({weights.data(), c.channels, c.columns});
  REQUIRE(panels.has_value());
  const Buffer<float> floats({panels->view().data, panels->size_bytes() / sizeof(float)}, c.edge);
  const pl::FloatPanelsView view{c.channels, c.columns, floats.data()};
  const Matrix of_floats(y_layout, c.edge), expected_of_floats(y_layout, c.edge);
  pl::multiply(pl::Reference{}, x.view(), view, epilogue, expected_of_floats.view(), all, {});
  pl::multiply(pl::Cpu{}, x.view(), view, epilogue, of_floats.view(), all, scratch.span());
  CHECK(guarded::same(of_floats.all(), expected_of_floats.all()));

  const Layout back = Layout::random(c.rows, c.columns, random);
  const Matrix values(back, c.edge), expected_values(back, c.edge);
  pl::dequantize(pl::Reference{}, codes.span, expected_values.view());
  pl::dequantize(pl::Cpu{}, codes.span, values.view());
  CHECK(guarded::same(values.all(), expected_values.all()));
}

TEST_CASE("guard pages: products, codes and accumulators") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed)
    for (const Edge edge : guarded::edges) check_products(Case::random(seed, edge));
}

}  // namespace
