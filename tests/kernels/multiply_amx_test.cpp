// Products by matrix tiles: every bit of the reference, over shapes that end within tiles, steps, chunks, passes and
// blocks of rows. On a machine without AMX-INT8 it says so.
#include <doctest/doctest.h>

#include <planish/kernels/cpu/multiply_amx.hpp>
#include <planish/kernels/reference/multiply.hpp>

#include "guarded_memory.hpp"
#include "kernels/machine_tiles.hpp"
#include "kernels/samples.hpp"

namespace pl = planish;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

#if defined(PLANISH_HAS_AMX_INT8)
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using guarded::Buffer;
using guarded::Edge;
using pl::Symmetry;

struct TileCase {
  index rows, channels, columns, group_size;
  int bits;
  Symmetry weights, activations;
  std::uint64_t seed;
};

/// Every operand, and the scratch, against a page that nobody may touch. The bytes of a row behind its columns are
/// zeros, as the quantizer leaves them.
void check_tiles(const TileCase& c, Edge edge) {
  INFO("seed ", c.seed, ": ", c.rows, " rows, ", c.channels, " channels, ", c.columns, " columns, groups of ",
       c.group_size, ", ", c.bits, " bits");
  pl::Random random(c.seed);
  const bool asymmetric = c.activations == Symmetry::asymmetric;
  const index stride = pl::quantized_rows_stride(c.columns) + 64 * static_cast<index>(random.below(3));
  const Buffer<std::int8_t> codes(c.rows * stride, edge);
  const Buffer<float> token_scales(c.rows, edge);
  const Buffer<std::int32_t> token_sums(c.rows, edge), token_zeros(asymmetric ? c.rows : 0, edge);
  for (index r = 0; r < c.rows; ++r) {
    token_scales.data()[r] = static_cast<float>(0.01 + random.uniform());
    for (index k = 0; k < c.columns; ++k) {
      const int code = random.below(8) == 0 ? -128 : static_cast<int>(random.below(256)) - 128;
      codes.data()[r * stride + k] = static_cast<std::int8_t>(code);
      token_sums.data()[r] += code;
    }
    if (asymmetric) token_zeros.data()[r] = static_cast<int>(random.below(256)) - 128;
  }
  const pl::QuantizedRowsView x{codes.data(),
                                c.rows,
                                c.columns,
                                stride,
                                token_scales.data(),
                                token_sums.data(),
                                asymmetric ? token_zeros.data() : nullptr};
  const auto packed =
      pl::PackedWeights::make(samples::codes(c.channels, c.columns, c.bits, c.weights, c.group_size, random).view());
  REQUIRE(packed.has_value());
  pl::PackedWeightsView w = packed->view();
  REQUIRE(cpu::tiles_fit(c.rows, w));
  const auto side = static_cast<std::size_t>(w.panel_count() * w.groups() * pl::panel_width);
  const Buffer<std::uint8_t> panels({w.panels, static_cast<std::size_t>(w.panel_count() * w.panel_bytes())}, edge);
  const Buffer<float> scales({w.scales, side}, edge);
  const Buffer<std::int32_t> zeros({w.zeros, side}, edge), weight_sums({w.sums, side}, edge);
  w.panels = panels.data();
  w.scales = scales.data();
  w.zeros = zeros.data();
  w.sums = weight_sums.data();
  const Buffer<std::byte> scratch(static_cast<index>(cpu::tile_scratch_bytes(c.rows, c.columns, w.groups())), edge);
  const index half = w.panel_count() / 2, wide = c.channels * w.groups();  // two workers' ranges make the whole

  const Buffer<std::int32_t> expected(c.rows * wide, edge), sums(c.rows * wide, edge);
  reference::multiply_accumulators(x, w, {expected.data(), c.rows, wide}, {0, w.panel_count()}, {});
  cpu::multiply_accumulators_amx(x, w, {sums.data(), c.rows, wide}, {0, half}, scratch.span());
  cpu::multiply_accumulators_amx(x, w, {sums.data(), c.rows, wide}, {half, w.panel_count()}, scratch.span());
  CHECK(std::equal(sums.span().begin(), sums.span().end(), expected.span().begin()));

  const Buffer<float> bias(std::span<const float>(samples::floats(c.channels, random)), edge);
  const guarded::Layout layout = guarded::Layout::random(c.rows, c.channels, random);
  const guarded::Matrix residual(guarded::Layout::random(c.rows, c.channels, random), edge, random);
  pl::Epilogue epilogue;
  if (random.below(2) == 0) epilogue.bias = bias.data();
  if (random.below(2) == 0) epilogue.residual = residual.view();
  const guarded::Matrix y(layout, edge), expected_y(layout, edge);
  reference::multiply(x, w, epilogue, expected_y.view(), {0, w.panel_count()}, {});
  cpu::multiply_amx(x, w, epilogue, y.view(), {0, half}, scratch.span());
  cpu::multiply_amx(x, w, epilogue, y.view(), {half, w.panel_count()}, scratch.span());
  CHECK(guarded::same(y.all(), expected_y.all()));
}

TEST_CASE("products by AMX tiles equal the reference to the bit, between guard pages") {
  if (!machine_has_tiles()) return;
  std::uint64_t seed = 1;
  const auto both = [&](TileCase c) {
    c.seed = seed++;
    for (const Edge edge : guarded::edges) check_tiles(c, edge);
  };
  const auto plain = Symmetry::symmetric, shifted = Symmetry::asymmetric;
  for (const int bits : {4, 8}) {
    for (const index rows : {16, 17, 31, 32, 33, 47, 48, 49, 64, 97}) both({rows, 33, 65, 0, bits, plain, plain, 0});
    for (const index columns : {1, 3, 4, 61, 63, 64, 67, 127, 576, 1024, 1031, 2053})
      both({18, 67, columns, 0, bits, shifted, shifted, 0});
    for (const index group : {64, 128, 576, 1024}) both({37, 35, 1091, group, bits, plain, shifted, 0});
    both({307, 43, 5501, 0, bits, plain, plain, 0});      // several blocks of rows, passes and panels of a batch
    both({18, 300, 5501, 0, bits, shifted, plain, 0});    // several batches
    both({18, 300, 5501, 128, bits, shifted, plain, 0});  // likewise with groups
  }
  while (seed < 130) {
    pl::Random random(seed);
    const auto below = [&](std::uint64_t n) { return static_cast<index>(random.below(n)); };
    both({16 + below(80), 1 + below(100), 1 + below(700), below(2) * 64 * (1 + below(5)),
          2 + static_cast<int>(below(7)), below(2) == 0 ? plain : shifted, below(2) == 0 ? plain : shifted, 0});
  }
}

TEST_CASE("few rows, and groups that are no whole steps, are not for tiles") {
  pl::Random random(1);
  const auto fits = [&](index rows, index group) {
    return cpu::tiles_fit(
        rows, pl::PackedWeights::make(samples::codes(8, 4096, 4, Symmetry::symmetric, group, random).view())->view());
  };
  CHECK(fits(cpu::least_tile_rows, 0));
  CHECK(!fits(cpu::least_tile_rows - 1, 0));
  CHECK(fits(64, 128));
  CHECK(!fits(64, 32));
  CHECK(!fits(64, 96));
  CHECK(!fits(64, 2048));
}

TEST_CASE("the longest rows, with codes at the ends of their range, stay exact") {
  if (!machine_has_tiles()) return;
  for (const int bits : {4, 8}) {
    const index columns = bits == 4 ? pl::most_columns : index{65535}, rows = 16;
    auto codes = pl::Codes::make(1, columns, bits, Symmetry::symmetric);
    REQUIRE(codes.has_value());
    std::fill(codes->codes().begin(), codes->codes().end(), static_cast<std::uint8_t>((1 << (bits - 1)) - 1));
    codes->scales()[0] = 1.0f;
    const auto packed = pl::PackedWeights::make(codes->view());
    REQUIRE(packed.has_value());
    const samples::Rows x(rows, columns, false);
    for (index r = 0; r < rows; ++r) {
      std::fill_n(x.span().row(r), x.span().stride, std::int8_t{0});
      std::fill_n(x.span().row(r), columns, std::int8_t{-128});
      x.span().sums[r] = static_cast<std::int32_t>(-128 * columns);
    }
    std::vector<std::byte> scratch(cpu::tile_scratch_bytes(rows, columns, 1));
    std::vector<std::int32_t> expected(static_cast<std::size_t>(rows)), sums(expected.size());
    reference::multiply_accumulators(x.view(), packed->view(), {expected.data(), rows, 1}, {0, 1}, {});
    cpu::multiply_accumulators_amx(x.view(), packed->view(), {sums.data(), rows, 1}, {0, 1}, scratch);
    CHECK(sums == expected);
  }
}

TEST_CASE("after a product the thread has no tiles configured") {
  if (!machine_has_tiles()) return;
  check_tiles({16, 32, 64, 0, 4, Symmetry::symmetric, Symmetry::symmetric, 1}, Edge::back);
  alignas(64) unsigned char state[64];
  std::memset(state, 1, sizeof state);
  asm volatile("sttilecfg %0" : "=m"(state));
  for (const unsigned char byte : state) CHECK(byte == 0);
}
#else
TEST_CASE("a unit that is compiled without AMX says so") {
  const pl::Status status = pl::kernels::cpu::isa::enable_tiles();
  CHECK(status.code() == pl::ErrorCode::unsupported);
  CHECK(status.message().find("-mamx-int8") != std::string_view::npos);
}
#endif

}  // namespace
