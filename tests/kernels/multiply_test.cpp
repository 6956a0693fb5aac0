#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/multiply.hpp>
#include <planish/kernels/reference/multiply.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using pl::CodeStorage;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

struct Case {
  index rows, channels, columns, group_size;
  int weight_bits;
  Symmetry weight_symmetry;
  int activation_bits;
  Symmetry activation_symmetry;
  bool bias, residual, strided, bad_row;
};

template <class Isa>
void multiply_on(pl::QuantizedRowsView x, const pl::PackedWeightsView& w, const pl::Epilogue& e,
                 pl::MatrixView<float> y, pl::Range panels, std::span<std::byte> scratch) {
  if (w.storage == CodeStorage::nibble)
    cpu::multiply_with<Isa, CodeStorage::nibble>(x, w, e, y, panels, scratch);
  else
    cpu::multiply_with<Isa, CodeStorage::byte>(x, w, e, y, panels, scratch);
}

template <class Isa>
void accumulate_on(pl::QuantizedRowsView x, const pl::PackedWeightsView& w, pl::MatrixView<std::int32_t> acc,
                   pl::Range panels, std::span<std::byte> scratch) {
  if (w.storage == CodeStorage::nibble)
    cpu::multiply_accumulators_with<Isa, CodeStorage::nibble>(x, w, acc, panels, scratch);
  else
    cpu::multiply_accumulators_with<Isa, CodeStorage::byte>(x, w, acc, panels, scratch);
}

template <class Isa>
void check_isa(const Case& c, std::uint64_t seed) {
  INFO("isa ", Isa::name, " seed ", seed, " rows ", c.rows, " channels ", c.channels, " columns ", c.columns, " group ",
       c.group_size, " w", c.weight_bits, " a", c.activation_bits);
  pl::Random random(seed);
  const pl::Codes codes = samples::codes(c.channels, c.columns, c.weight_bits, c.weight_symmetry, c.group_size, random);
  const auto packed = pl::PackedWeights::make(codes.view());
  REQUIRE(packed.has_value());
  const pl::PackedWeightsView w = packed->view();

  std::vector<float> x = samples::floats(c.rows * c.columns, random, 3.0);
  if (c.bad_row && c.rows * c.columns > 0)
    x[static_cast<std::size_t>(c.rows / 2 * c.columns)] = std::numeric_limits<float>::quiet_NaN();
  const samples::Rows rows(pl::MatrixView<const float>(x.data(), c.rows, c.columns),
                           {.bits = c.activation_bits, .symmetry = c.activation_symmetry});

  std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(c.rows, c.columns, w.groups()));
  const pl::Range all{0, w.panel_count()};

  std::vector<std::int32_t> expected_sums(static_cast<std::size_t>(c.rows * c.channels * w.groups()), 7),
      sums = expected_sums;
  reference::multiply_accumulators(rows.view(), w, {expected_sums.data(), c.rows, c.channels * w.groups()}, all, {});
  accumulate_on<Isa>(rows.view(), w, {sums.data(), c.rows, c.channels * w.groups()}, all, scratch);
  CHECK(sums == expected_sums);

  const std::vector<float> bias = samples::floats(c.channels, random);
  const std::vector<float> residual = samples::floats(c.rows * c.channels * 3, random);
  pl::Epilogue e;
  if (c.bias) e.bias = bias.data();
  const index step = c.strided ? 2 : 1, pitch = c.channels * step + (c.strided ? 3 : 0);
  if (c.residual) e.residual = {residual.data(), c.rows, c.channels, c.channels * 3, c.strided ? 3 : 1};
  std::vector<float> expected(static_cast<std::size_t>(c.rows * pitch), -1.0f), y = expected;
  reference::multiply(rows.view(), w, e, {expected.data(), c.rows, c.channels, pitch, step}, all, {});
  const index half = w.panel_count() / 2;  // two workers' ranges together make the whole
  multiply_on<Isa>(rows.view(), w, e, {y.data(), c.rows, c.channels, pitch, step}, {0, half}, scratch);
  multiply_on<Isa>(rows.view(), w, e, {y.data(), c.rows, c.channels, pitch, step}, {half, w.panel_count()}, scratch);
  index different = 0;
  for (std::size_t i = 0; i < y.size(); ++i)
    different += std::isnan(expected[i])
                     ? !std::isnan(y[i])
                     : std::bit_cast<std::uint32_t>(y[i]) != std::bit_cast<std::uint32_t>(expected[i]);
  CHECK(different == 0);
}

void check(const Case& c, std::uint64_t seed) {
  check_isa<cpu::isa::Portable>(c, seed);
#if defined(PLANISH_HAS_AVX2)
  check_isa<cpu::isa::Avx2>(c, seed);
#endif
#if defined(PLANISH_HAS_AVX512VNNI)
  check_isa<cpu::isa::Avx512Vnni>(c, seed);
#endif
}

TEST_CASE("integer products equal the reference to the bit: every row count, awkward shapes") {
  std::uint64_t seed = 1;
  for (int bits : {4, 8})
    for (index rows : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25})
      check({rows, 33, 65, 0, bits, Symmetry::symmetric, 8, Symmetry::symmetric, true, false, false, false}, seed++);
  for (int bits : {2, 3, 4, 5, 6, 7, 8})
    for (index columns : {0, 1, 2, 3, 4, 7, 63, 64, 65, 576})
      check({3, 31, columns, 0, bits, Symmetry::asymmetric, 8, Symmetry::asymmetric, true, true, false, false}, seed++);
  for (index channels : {0, 1, 7, 32, 63, 64, 65, 97})
    check({5, channels, 37, 0, 4, Symmetry::symmetric, 4, Symmetry::asymmetric, false, true, true, true}, seed++);
}

TEST_CASE("integer products with group scales equal the reference for every group size") {
  std::uint64_t seed = 100;
  for (int bits : {4, 8})
    for (index group : {1, 2, 3, 4, 5, 7, 16, 31, 32, 33, 64, 100})
      for (index rows : {1, 4, 13})
        check({rows, 35, 101, group, bits, Symmetry::symmetric, 8, Symmetry::symmetric, true, false, false, false},
              seed++);
  for (index group : {3, 8, 17})
    check({6, 40, 77, group, 4, Symmetry::asymmetric, 8, Symmetry::asymmetric, true, true, true, true}, seed++);
}

TEST_CASE("integer products equal the reference on random shapes and schemes") {
  pl::Random random(2024);
  const auto symmetry = [&] { return random.below(2) == 0 ? Symmetry::symmetric : Symmetry::asymmetric; };
  for (std::uint64_t seed = 200; seed < 260; ++seed) {
    const auto columns = static_cast<index>(1 + random.below(200));
    check({static_cast<index>(random.below(30)), static_cast<index>(1 + random.below(100)), columns,
           static_cast<index>(random.below(static_cast<std::uint64_t>(columns) + 1)),
           static_cast<int>(2 + random.below(7)), symmetry(), static_cast<int>(2 + random.below(7)), symmetry(),
           random.below(2) == 0, random.below(2) == 0, random.below(2) == 0, random.below(4) == 0},
          seed);
  }
}

TEST_CASE("integer products equal the reference on many rows: several blocks, panels in several runs") {
  std::uint64_t seed = 300;
  for (int bits : {4, 8})
    for (const auto& [rows, columns, group] : {std::array<index, 3>{35, 1100, 0},
                                               {36, 1100, 32},
                                               {37, 1030, 128},
                                               {40, 2100, 1028},
                                               {40, 2100, 1024},
                                               {95, 1029, 0},
                                               {96, 1029, 0},
                                               {97, 2049, 0},
                                               {193, 67, 0},
                                               {193, 70, 32},
                                               {200, 40, 4}})
      for (const bool residual : {false, true})
        check({rows, 45, columns, group, bits, Symmetry::symmetric, 8, Symmetry::symmetric, true, residual, residual,
               false},
              seed++);
  check({100, 64, 1040, 0, 4, Symmetry::symmetric, 8, Symmetry::symmetric, false, false, false, true}, seed++);
  check({50, 64, 1040, 16, 4, Symmetry::symmetric, 8, Symmetry::symmetric, false, false, false, true}, seed++);
}

TEST_CASE("the longest rows with the greatest codes stay exact") {
  // every product at the end of its range, on a row that no narrower accumulator could hold
  for (const index columns : {pl::most_columns, index{1} << 16})
    for (int bits : {4, 8}) {
      const index group = bits == 8 ? index{1} << 16 : 0;
      auto codes = pl::Codes::make(1, columns, bits, Symmetry::symmetric, group);
      REQUIRE(codes.has_value());
      const int lowest = pl::code_range(bits, Symmetry::symmetric).lowest;
      std::fill(codes->codes().begin(), codes->codes().end(), static_cast<std::uint8_t>(lowest));
      std::fill(codes->scales().begin(), codes->scales().end(), 1.0f);
      for (const bool highest : {false, true}) {
        if (highest) std::fill(codes->codes().begin(), codes->codes().end(), static_cast<std::uint8_t>(-lowest - 1));
        const auto packed = pl::PackedWeights::make(codes->view());
        REQUIRE(packed.has_value());
        const pl::PackedWeightsView w = packed->view();
        for (const int code : {-128, 127}) {
          const samples::Rows rows(2, columns, false);
          for (index r = 0; r < 2; ++r) {
            for (index c = 0; c < rows.span().stride; ++c)
              rows.span().row(r)[c] = static_cast<std::int8_t>(c < columns ? code : 0);
            rows.span().scales[r] = 1.0f;
            rows.span().sums[r] = static_cast<std::int32_t>(columns * code);
          }
          std::vector<std::byte> scratch(cpu::multiply_scratch_bytes(2, columns, w.groups()));
          std::vector<std::int32_t> expected(static_cast<std::size_t>(2 * w.groups()));
          reference::multiply_accumulators(rows.view(), w, {expected.data(), 2, w.groups()}, {0, 1}, {});
          const auto compare = [&](auto isa) {
            std::vector<std::int32_t> sums(expected.size());
            accumulate_on<decltype(isa)>(rows.view(), w, {sums.data(), 2, w.groups()}, {0, 1}, scratch);
            INFO("isa ", isa.name, " bits ", bits, " code ", code);
            CHECK(sums == expected);
            float y[2] = {}, expected_y[2] = {};
            reference::multiply(rows.view(), w, {}, {expected_y, 2, 1}, {0, 1}, {});
            multiply_on<decltype(isa)>(rows.view(), w, {}, {y, 2, 1}, {0, 1}, scratch);
            CHECK(y[0] == expected_y[0]);
            CHECK(y[1] == expected_y[1]);
          };
          compare(cpu::isa::Portable{});
#if defined(PLANISH_HAS_AVX2)
          compare(cpu::isa::Avx2{});
#endif
#if defined(PLANISH_HAS_AVX512VNNI)
          compare(cpu::isa::Avx512Vnni{});
#endif
        }
      }
    }
}

}  // namespace
