#include <bit>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using pl::RowQuantizer;
using pl::Symmetry;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

std::uint32_t bits_of(float value) { return std::isnan(value) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(value); }

void check_rows(pl::MatrixView<const float> x, const RowQuantizer& q) {
  INFO("rows ", x.rows(), " columns ", x.columns(), " step ", x.column_stride(), " bits ", q.bits, " asymmetric ",
       q.symmetry == Symmetry::asymmetric, " static ", q.static_scale);
  const bool asymmetric = q.symmetry == Symmetry::asymmetric;
  const samples::Rows expected(x.rows(), x.columns(), asymmetric), made(x.rows(), x.columns(), asymmetric);
  const index bad = reference::quantize_rows(x, q, expected.span());
  CHECK(cpu::quantize_rows(x, q, made.span()) == bad);
  index codes = 0, scales = 0, sums = 0, zeros = 0, values = 0;
  std::vector<float> back(static_cast<std::size_t>(x.size())), wide(static_cast<std::size_t>(x.size() * 2));
  cpu::dequantize_rows(made.view(), {back.data(), x.rows(), x.columns()});
  cpu::dequantize_rows(made.view(), {wide.data(), x.rows(), x.columns(), 2 * x.columns(), 2});
  for (index r = 0; r < x.rows(); ++r) {
    for (index c = 0; c < made.view().stride; ++c) codes += made.view().row(r)[c] != expected.view().row(r)[c];
    scales += bits_of(made.view().scales[r]) != bits_of(expected.view().scales[r]);
    sums += made.view().sums[r] != expected.view().sums[r];
    if (asymmetric) zeros += made.view().zero_points[r] != expected.view().zero_points[r];
    for (index c = 0; c < x.columns(); ++c) {
      const float value =
          pl::to_value(expected.view().row(r)[c], {expected.view().scales[r], expected.view().zero_point(r)});
      values += bits_of(back[static_cast<std::size_t>(r * x.columns() + c)]) != bits_of(value);
      values += bits_of(wide[static_cast<std::size_t>(2 * (r * x.columns() + c))]) != bits_of(value);
    }
  }
  CHECK(codes == 0);
  CHECK(scales == 0);
  CHECK(sums == 0);
  CHECK(zeros == 0);
  CHECK(values == 0);
}

TEST_CASE("quantized rows equal the reference to the bit") {
  std::uint64_t seed = 1;
  for (index columns : {0, 1, 7, 15, 16, 17, 63, 64, 65, 576, 1536}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
        INFO("seed ", seed);
        pl::Random random(seed++);
        std::vector<float> x = samples::floats(3 * columns * 2, random, 5.0);
        for (index c = 0; c < columns; ++c) x[static_cast<std::size_t>(c)] += 4.0f;  // a one-sided row
        check_rows({x.data(), 3, columns}, {.bits = bits, .symmetry = symmetry});
        check_rows({x.data(), 3, columns, 2 * columns, 2}, {.bits = bits, .symmetry = symmetry, .clip = {0.75f, 0.5f}});
        check_rows({x.data(), 3, columns},
                   {.bits = bits, .symmetry = symmetry, .static_scale = 0.05f, .static_zero_point = (1 << bits) / 3});
      }
    }
  }
}

TEST_CASE("ties go to even, and extreme values stay in range") {
  std::vector<float> x;
  for (int i = -20; i <= 20; ++i) x.push_back(static_cast<float>(i) * 0.5f);
  const auto columns = static_cast<index>(x.size());
  for (int bits : {4, 8})
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric})
      check_rows({x.data(), 1, columns},
                 {.bits = bits, .symmetry = symmetry, .static_scale = 1.0f, .static_zero_point = 3});
  constexpr float greatest = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  for (float first : {greatest, -greatest, least, -least, 0.0f, -0.0f, 0x1p-120f}) {
    std::vector<float> row(37, 0.0f);
    row[5] = first;
    row[36] = first / 3.0f;
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      check_rows({row.data(), 1, 37}, {.symmetry = symmetry});
      check_rows({row.data(), 1, 37}, {.symmetry = symmetry, .static_scale = 0x1p-100f});
    }
  }
}

TEST_CASE("quotients on and beside a half step round as a division's") {
  pl::Random random(11);
  for (int trial = 0; trial < 200; ++trial) {
    const std::vector<float> mantissas = samples::floats(129, random);
    const float scale = std::ldexp(std::abs(mantissas[128]) + 0x1p-10f, trial % 100 * 2 - 100);
    std::vector<float> row(128);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const float half = (static_cast<float>(i) - 63.5f) * scale;  // and up to three floats beside it
      row[i] = half;
      for (int step = 0; step < static_cast<int>(random.bits() % 4); ++step)
        row[i] = std::nextafter(row[i], i % 2 == 0 ? 0.0f : 2.0f * half);
    }
    for (Symmetry symmetry : {Symmetry::symmetric, Symmetry::asymmetric}) {
      check_rows({row.data(), 1, 128}, {.symmetry = symmetry, .static_scale = scale, .static_zero_point = 100});
      check_rows({row.data(), 1, 128}, {.symmetry = symmetry});
    }
  }
}

TEST_CASE("rows with NaN or infinity get a NaN scale, zero codes, and are counted") {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (index columns : {1, 16, 33, 65}) {
      for (index at = 0; at < columns; ++at) {
        pl::Random random(static_cast<std::uint64_t>(columns));
        std::vector<float> x = samples::floats(3 * columns, random);
        x[static_cast<std::size_t>(columns + at)] = bad;
        check_rows({x.data(), 3, columns}, {.symmetry = Symmetry::asymmetric});
        const samples::Rows rows({x.data(), 3, columns}, {.bits = 4});
        CHECK(std::isnan(rows.view().scales[1]));
        CHECK(rows.view().sums[1] == 0);
      }
    }
  }
}

}  // namespace
