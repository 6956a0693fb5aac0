// RMSNorm and SwiGLU rows: equal on both backends to the bit, every operand against a page nobody may touch, and right.
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <planish/backend/cpu.hpp>
#include <planish/backend/reference.hpp>
#include <planish/core/random.hpp>

#include "guarded_memory.hpp"
#include "kernels/samples.hpp"

namespace pl = planish;
using guarded::Buffer;
using guarded::Layout;
using guarded::Matrix;

namespace producer_rows {
namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

constexpr index sizes[] = {0, 1, 7, 15, 16, 31, 32, 33, 63, 64, 65, 172, 576};

TEST_CASE("guard pages: RMSNorm rows, with a massive channel") {
  pl::Random random(5);
  for (const index columns : sizes)
    for (const guarded::Edge edge : guarded::edges)
      for (const index rows : {0, 1, 5}) {
        CAPTURE(columns);
        const Layout to = Layout::random(rows, columns, random);
        const Matrix x(Layout::random(rows, columns, random), edge, random), y(to, edge), expected(to, edge);
        if (rows > 0 && columns > 0) x.view()(0, columns / 2) = 26000.0f;
        const Buffer<float> gain({std::span<const float>(samples::floats(columns, random))}, edge);
        pl::rms_norm(pl::Cpu{}, x.view(), gain.data(), 1e-5f, y.view());
        pl::rms_norm(pl::Reference{}, x.view(), gain.data(), 1e-5f, expected.view());
        CHECK(guarded::same(y.all(), expected.all()));
        for (index r = 0; r < rows; ++r) {
          double squares = 0.0;
          for (index c = 0; c < columns; ++c) squares += std::pow(static_cast<double>(x.view()(r, c)), 2.0);
          const double scale = 1.0 / std::sqrt(squares / static_cast<double>(columns) + 1e-5);
          for (index c = 0; c < columns; ++c)
            CHECK(static_cast<double>(y.view()(r, c)) ==
                  doctest::Approx(static_cast<double>(x.view()(r, c)) * scale * static_cast<double>(gain.data()[c]))
                      .epsilon(1e-6));
        }
      }
}

TEST_CASE("guard pages: SwiGLU rows, from end to end of the exponential") {
  pl::Random random(6);
  for (const index columns : sizes)
    for (const guarded::Edge edge : guarded::edges)
      for (const index rows : {0, 1, 4}) {
        CAPTURE(columns);
        const Layout to = Layout::random(rows, columns, random);
        const Matrix gate(Layout::random(rows, columns, random), edge, random);
        const Matrix up(Layout::random(rows, columns, random), edge, random), y(to, edge), expected(to, edge);
        for (index c = 0; rows > 0 && c < columns; ++c)
          gate.view()(0, c) = static_cast<float>(c - columns / 2) * 400.0f / static_cast<float>(columns);
        pl::swiglu(pl::Cpu{}, gate.view(), up.view(), y.view());
        pl::swiglu(pl::Reference{}, gate.view(), up.view(), expected.view());
        CHECK(guarded::same(y.all(), expected.all()));
        for (index r = 0; r < rows; ++r)
          for (index c = 0; c < columns; ++c) {
            const auto g = static_cast<double>(gate.view()(r, c));
            CHECK(static_cast<double>(y.view()(r, c)) ==
                  doctest::Approx(g / (1.0 + std::exp(-g)) * static_cast<double>(up.view()(r, c))).epsilon(2e-6));
          }
      }
}

TEST_CASE("NaN and infinity come through norms and gates, so that a site can name their row") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float bad : {infinity, -infinity, nan})
    for (const index at : {index{3}, index{16}}) {
      std::vector<float> x(17, 1.0f), ones(17, 1.0f), y(17);
      x[static_cast<std::size_t>(at)] = bad;
      const pl::MatrixView<const float> row(x.data(), 1, 17), other(ones.data(), 1, 17);
      const pl::MatrixView<float> out(y.data(), 1, 17);
      pl::rms_norm(pl::Cpu{}, row, ones.data(), 1e-5f, out);
      CHECK(!std::isfinite(y[static_cast<std::size_t>(at)]));
      pl::swiglu(pl::Cpu{}, other, row, out);
      CHECK(!std::isfinite(y[static_cast<std::size_t>(at)]));
    }
}

}  // namespace
}  // namespace producer_rows
