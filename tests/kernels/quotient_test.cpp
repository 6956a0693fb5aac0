// Where quotients come from a reciprocal, and that they are those of a division there.
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/pack_rounded_strips.hpp>
#include <planish/kernels/cpu/quantize_rows.hpp>
#include <planish/kernels/cpu/quotient.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>

#include "guarded_memory.hpp"
#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("a reciprocal is for divisors between 2^-80 and 2^80, and values up to 2^40 of them") {
#if defined(__FMA__) || defined(__aarch64__)
  const bool fused = true;
#else
  const bool fused = false;
#endif
  const auto above = [](float x) { return std::nextafter(x, std::numeric_limits<float>::infinity()); };
  const auto below = [](float x) { return std::nextafter(x, 0.0f); };
  const auto takes = [](float divisor, float lowest, float highest) {
    return cpu::Quotient::by_reciprocal(divisor, {lowest, highest});
  };
  for (const float divisor : {above(0x1p-80f), 0x1p-79f, 0.3f, 1.0f, 7.0f, 0x1p79f, below(0x1p80f)})
    CHECK(takes(divisor, -1.0f * divisor, divisor) == fused);
  for (const float divisor : {0x1p-80f, below(0x1p-80f), 0x1p-120f, 0.0f, 0x1p80f, above(0x1p80f), 0x1p100f})
    CHECK_FALSE(takes(divisor, 0.0f, 0.0f));
  for (const float divisor : {0x1p-60f, 0.5f, 3.0f, 0x1p60f}) {
    const float most = 0x1p40f * divisor;
    CHECK(takes(divisor, -most, most) == fused);
    CHECK_FALSE(takes(divisor, 0.0f, above(most)));
    CHECK_FALSE(takes(divisor, -above(most), 0.0f));
  }
}

TEST_CASE("quotients from a reciprocal equal those of a division") {
  pl::Random random(1);
  index wrong = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    const auto divisor =
        static_cast<float>(std::ldexp(1.0 + random.uniform(), static_cast<int>(random.below(150)) - 75));
    const cpu::Quotient quotient(divisor);
    alignas(64) float x[cpu::FloatBatch::size], near[cpu::FloatBatch::size], whole[cpu::FloatBatch::size];
    for (float& value : x) value = static_cast<float>((random.uniform() * 2.0 - 1.0) * 300.0) * divisor;
    quotient.of<false>(cpu::FloatBatch::load_aligned(x)).store_aligned(whole);
    quotient.of<true>(cpu::FloatBatch::load_aligned(x)).store_aligned(near);
    const bool holds = cpu::Quotient::by_reciprocal(divisor, {-301.0f * divisor, 301.0f * divisor});
    for (std::size_t i = 0; i < cpu::FloatBatch::size; ++i) {
      wrong += whole[i] != x[i] / divisor;
      wrong += holds && std::abs(whole[i]) >= 0.25f && near[i] != whole[i];
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("rows that are longer than two the first cache holds, and the last row, become codes like the others") {
  std::uint64_t seed = 1;
  for (const index columns : {2047, 2048, 2049, 2113, 4096})
    for (const index rows : {1, 2, 3})
      for (const index step : {1, 2})
        for (const pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
          for (const guarded::Edge edge : guarded::edges) {
            pl::Random random(seed++);
            const guarded::Matrix x({rows, columns, columns * step + 3, step}, edge, random);
            const pl::RowQuantizer q{.bits = 8, .symmetry = symmetry};
            const bool asymmetric = symmetry == pl::Symmetry::asymmetric;
            const samples::Rows expected(x.view(), q), made(rows, columns, asymmetric);
            CHECK(cpu::quantize_rows(x.view(), q, made.span()) == 0);
            index wrong = 0;
            for (index r = 0; r < rows; ++r) {
              for (index c = 0; c < made.view().stride; ++c)
                wrong += made.view().row(r)[c] != expected.view().row(r)[c];
              wrong += made.view().sums[r] != expected.view().sums[r];
              wrong += made.view().scales[r] != expected.view().scales[r];
              wrong += made.view().zero_point(r) != expected.view().zero_point(r);
            }
            CHECK(wrong == 0);
          }
}

TEST_CASE("rows whose values end a quarter step beyond the codes' ends, or just there, are clamped as a division's") {
  for (const float scale : {1.0f, 0.37f, 3.1f})
    for (const pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
      for (const float beyond : {-0.25f, 0.0f, 0.2f, 0.25f, 0.26f, 0.49f, 0.5f, 0.51f, 1.0f, 90.0f})
        for (const bool up : {false, true}) {
          const pl::RowQuantizer q{.symmetry = symmetry, .static_scale = scale, .static_zero_point = 100};
          const bool asymmetric = symmetry == pl::Symmetry::asymmetric;
          const float highest = asymmetric ? 155.0f : 127.0f, lowest = asymmetric ? -100.0f : -128.0f;
          std::vector<float> row(256);
          for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i % 90) * 0.3f * scale;
          row[77] = (up ? highest + beyond : lowest - beyond) * scale;
          const pl::MatrixView<const float> x(row.data(), 1, 256);
          const samples::Rows expected(x, q), made(1, 256, asymmetric);
          CHECK(cpu::quantize_rows(x, q, made.span()) == 0);
          index wrong = 0;
          for (index c = 0; c < 256; ++c) wrong += made.view().row(0)[c] != expected.view().row(0)[c];
          CHECK(wrong == 0);
          CHECK(made.view().sums[0] == expected.view().sums[0]);
        }
}

TEST_CASE("rounding of a row: below 1e-30 it counts as zeros, beyond the floats its scale is NaN") {
  const auto of = [](float largest) { return cpu::RowRounding::of(std::bit_cast<std::int32_t>(largest)); };
  for (const float largest : {0.0f, 1e-38f, std::nextafter(1e-30f, 0.0f)}) {
    CHECK(of(largest).scale == 0.0f);
    CHECK(of(largest).factor == 0.0f);
  }
  for (const float largest : {1e-30f, 1.0f, 5.0f, std::numeric_limits<float>::max()}) {
    CHECK(of(largest).scale == largest / 32767.0f);
    CHECK(of(largest).factor == 32767.0f / largest);
  }
  for (const float largest : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    CHECK(std::isnan(of(largest).scale));
    CHECK(of(largest).factor == 0.0f);
  }
}

}  // namespace
