// Two rows that lie element beside element become codes at once, or say that they must be made one by one.
#include <algorithm>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/quantize_abreast.hpp>
#include <planish/kernels/reference/quantize_rows.hpp>

#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("rows of whole blocks are quantized abreast where the instructions are there") {
#if defined(PLANISH_HAS_AVX512VNNI)
  for (index n = 1; n <= 300; ++n) CHECK(cpu::quantizes_abreast(n) == (n % (2 * cpu::float_lanes) == 0));
#else
  for (index n = 1; n <= 300; ++n) CHECK_FALSE(cpu::quantizes_abreast(n));
#endif
}

#if defined(PLANISH_HAS_AVX512VNNI)
TEST_CASE("two rows abreast equal the reference, unless a value is no number or lies on a half step") {
  std::uint64_t seed = 1;
  for (const index n : {32, 64, 96, 128, 160, 576})
    for (const pl::Symmetry symmetry : {pl::Symmetry::symmetric, pl::Symmetry::asymmetric})
      for (const bool is_static : {false, true})
        for (const index bad_row : {-1, 0, 1})
          for (const bool half_step : {false, true}) {
            pl::Random random(seed++);
            // steps of a quarter, none of them near a half step of 1
            std::vector<float> x(static_cast<std::size_t>(2 * n));
            for (float& value : x) value = static_cast<float>(random.below(200)) - 100.0f + 0.25f;
            pl::RowQuantizer q{.symmetry = symmetry};
            if (is_static) q.static_scale = 1.0f, q.static_zero_point = 120;
            const bool asymmetric = symmetry == pl::Symmetry::asymmetric;
            for (index row = 0; row < 2; ++row) {  // ranges that give the dynamic scale 1 too
              float* const values = x.data() + row * n;
              values[3] = asymmetric ? -100.0f : 127.0f;
              values[n - 1] = asymmetric ? 155.0f : -127.0f;
            }
            if (bad_row >= 0)
              x[static_cast<std::size_t>(bad_row * n + 7)] = half_step ? 4.5f : std::numeric_limits<float>::infinity();
            const samples::Rows expected({x.data(), 2, n}, q), made(3, n, asymmetric);
            std::vector<float> both(x.size());
            for (index c = 0; c < n; ++c)
              for (index row = 0; row < 2; ++row)
                both[static_cast<std::size_t>(2 * c + row)] = x[static_cast<std::size_t>(row * n + c)];
            const cpu::TwoRowsOnTheirWay rows(both.data(), n, q);
            CHECK(rows.both() == both.data());
            const bool written = rows.write(made.span(), 1);
            INFO("n ", n, " asymmetric ", asymmetric, " static ", is_static, " bad row ", bad_row);
            CHECK(written == (bad_row < 0));
            if (!written) continue;
            index wrong = 0;
            for (index row = 0; row < 2; ++row) {
              for (index c = 0; c < made.view().stride; ++c)
                wrong += made.view().row(1 + row)[c] != expected.view().row(row)[c];
              wrong += made.view().scales[1 + row] != expected.view().scales[row];
              wrong += made.view().sums[1 + row] != expected.view().sums[row];
              wrong += made.view().zero_point(1 + row) != expected.view().zero_point(row);
            }
            CHECK(wrong == 0);
          }
}

TEST_CASE("two rows of which one has a scale that no reciprocal is for are made one by one") {
  const index n = 64;
  for (const float factor : {0x1p-90f, 0x1p90f})
    for (const index row : {0, 1}) {
      std::vector<float> both(static_cast<std::size_t>(2 * n));
      for (index c = 0; c < n; ++c)
        for (index r = 0; r < 2; ++r)
          both[static_cast<std::size_t>(2 * c + r)] = (static_cast<float>(2 * c) + 1.0f) * (r == row ? factor : 1.0f);
      const samples::Rows made(2, n, false);
      CHECK_FALSE(cpu::TwoRowsOnTheirWay(both.data(), n, {}).write(made.span(), 0));
    }
}
#endif

}  // namespace
