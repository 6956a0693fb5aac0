#include <algorithm>
#include <bit>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/multiply_float.hpp>
#include <planish/kernels/cpu/multiply_weight_only.hpp>
#include <planish/kernels/reference/multiply_float.hpp>
#include <planish/kernels/reference/multiply_weight_only.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

struct FloatCase {
  index rows, channels, columns, group_size;
  int bits;
  Symmetry symmetry;
  bool bias, residual, strided;
};

index differences(const std::vector<float>& a, const std::vector<float>& b) {
  index count = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    count += std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]);
  return count;
}

void check_floats(const FloatCase& c, std::uint64_t seed) {
  INFO("seed ", seed, " rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " group ", c.group_size,
       " bits ", c.bits, " strided ", c.strided);
  pl::Random random(seed);
  const pl::Codes codes = samples::codes(c.channels, c.columns, c.bits, c.symmetry, c.group_size, random);
  const auto packed = pl::PackedWeights::make(codes.view());
  REQUIRE(packed.has_value());
  const pl::PackedWeightsView w = packed->view();
  std::vector<float> dequantized(static_cast<std::size_t>(c.channels * c.columns));
  for (index n = 0; n < c.channels; ++n)
    for (index k = 0; k < c.columns; ++k)
      dequantized[static_cast<std::size_t>(n * c.columns + k)] = codes.view().value(n, k);
  const auto panels = pl::FloatPanels::make({dequantized.data(), c.channels, c.columns});
  REQUIRE(panels.has_value());

  const index step = c.strided ? 2 : 1;
  const std::vector<float> values = samples::floats(c.rows * c.columns * step, random);
  const pl::MatrixView<const float> x(values.data(), c.rows, c.columns, c.columns * step, step);
  const std::vector<float> bias = samples::floats(c.channels, random);
  const std::vector<float> residual = samples::floats(c.rows * c.channels * step, random);
  pl::Epilogue e;
  if (c.bias) e.bias = bias.data();
  if (c.residual) e.residual = {residual.data(), c.rows, c.channels, c.channels * step, step};

  std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(c.rows, c.columns, w.groups()));
  std::vector<float> expected(static_cast<std::size_t>(c.rows * c.channels * step), -1.0f);
  auto of_floats = expected, of_codes = expected, of_codes_reference = expected;
  const auto view = [&](std::vector<float>& y) {
    return pl::MatrixView<float>(y.data(), c.rows, c.channels, c.channels * step, step);
  };
  const index half = w.panel_count() / 2;
  reference::multiply_float(x, panels->view(), e, view(expected), {0, w.panel_count()}, {});
  reference::multiply_weight_only(x, w, e, view(of_codes_reference), {0, w.panel_count()}, {});
  for (pl::Range range : {pl::Range{0, half}, pl::Range{half, w.panel_count()}}) {
    cpu::multiply_float(x, panels->view(), e, view(of_floats), range, scratch);
    cpu::multiply_weight_only(x, w, e, view(of_codes), range, scratch);
  }
  CHECK(differences(of_codes_reference, expected) == 0);
  CHECK(differences(of_floats, expected) == 0);
  CHECK(differences(of_codes, expected) == 0);
}

TEST_CASE("float and weight-only products equal the reference to the bit: every row count, awkward shapes") {
  std::uint64_t seed = 1;
  for (int bits : {4, 8})
    for (index rows : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 50})
      check_floats({rows, 33, 65, 0, bits, Symmetry::symmetric, true, false, false}, seed++);
  for (index columns : {0, 1, 2, 3, 4, 7, 63, 64, 65, 576})
    for (index rows : {1, 3}) check_floats({rows, 31, columns, 0, 4, Symmetry::asymmetric, true, true, false}, seed++);
  for (index channels : {0, 1, 7, 32, 63, 64, 65, 97})
    check_floats({5, channels, 37, 0, 4, Symmetry::symmetric, false, true, true}, seed++);
}

TEST_CASE("weight-only products equal the reference for every group size") {
  std::uint64_t seed = 100;
  for (int bits : {3, 8})
    for (index group : {1, 2, 3, 4, 5, 7, 16, 31, 32, 33, 64, 100})
      for (index rows : {1, 2, 7})
        check_floats({rows, 35, 101, group, bits, Symmetry::asymmetric, true, false, false}, seed++);
}

TEST_CASE("few rows meet weights in registers where no line of columns lies in two groups, else they are expanded") {
  pl::PackedWeightsView w;
  w.columns = 26;
  const std::vector<float> values(104);
  const pl::MatrixView<const float> dense(values.data(), 2, 26), strided(values.data(), 2, 26, 52, 2);
  for (index group : {1, 2, 3, 6, 7, 25}) {
    w.group_size = group;
    CHECK_FALSE(cpu::are_whole_lines(dense, w));
  }
  for (index group : {4, 8, 24, 26, 27}) {
    w.group_size = group;
    CHECK(cpu::are_whole_lines(dense, w));
    CHECK_FALSE(cpu::are_whole_lines(strided, w));
  }
}

TEST_CASE("as many rows as registers hold meet packed weights there, without scratch; more are multiplied by floats") {
  const index columns = 40, channels = 3 * 32;
  pl::Random random(1);
  for (const int bits : {4, 8}) {
    const auto packed =
        pl::PackedWeights::make(samples::codes(channels, columns, bits, pl::Symmetry::symmetric, 8, random).view());
    REQUIRE(packed.has_value());
    for (index rows = 0; rows <= cpu::most_rows_in_registers + 1; ++rows) {
      const std::vector<float> x = samples::floats(rows * columns, random);
      std::vector<float> y(static_cast<std::size_t>(rows * channels));
      const bool in_registers = rows <= cpu::most_rows_in_registers;
      std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(rows, columns, 5), std::byte{0x5a});
      cpu::multiply_weight_only({x.data(), rows, columns}, packed->view(), {}, {y.data(), rows, channels}, {0, 3},
                                scratch);
      const bool untouched =
          std::all_of(scratch.begin(), scratch.end(), [](std::byte b) { return b == std::byte{0x5a}; });
      CHECK(untouched == in_registers);
    }
  }
}

TEST_CASE("rows longer than a block of columns, and rows that fall into the same cache sets") {
  check_floats({3, 33, 2500, 0, 4, Symmetry::symmetric, true, true, false}, 300);
  check_floats({1, 33, 2500, 96, 8, Symmetry::symmetric, true, true, true}, 301);
  check_floats({13, 32, 2048, 128, 4, Symmetry::symmetric, true, true, false}, 302);
}

TEST_CASE("float and weight-only products equal the reference on random shapes") {
  pl::Random random(7);
  for (std::uint64_t seed = 400; seed < 440; ++seed) {
    const auto columns = static_cast<index>(1 + random.below(200));
    check_floats(
        {static_cast<index>(random.below(30)), static_cast<index>(1 + random.below(100)), columns,
         static_cast<index>(random.below(static_cast<std::uint64_t>(columns) + 1)),
         static_cast<int>(2 + random.below(7)), random.below(2) == 0 ? Symmetry::symmetric : Symmetry::asymmetric,
         random.below(2) == 0, random.below(2) == 0, random.below(2) == 0},
        seed);
  }
}

}  // namespace
