// How products of small matrices are cut into panels and tiles, and what memory is asked for ahead.
#include <doctest/doctest.h>

#include <planish/core/random.hpp>
#include <planish/kernels/cpu/paired_product.hpp>
#include <planish/kernels/cpu/panel_product.hpp>
#include <planish/kernels/reference/kronecker_bfloat16.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;

namespace {

using guarded::Buffer;
using guarded::Edge;
using guarded::Matrix;
using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("so many vectors lie in as few panels as can be, nearly equal ones, the wider ones first") {
  constexpr index most = cpu::most_panel_vectors;
  for (index vectors = 1; vectors <= 70; ++vectors) {
    CAPTURE(vectors);
    const index panels = (vectors + most - 1) / most;
    index left = vectors;
    for (index panel = 0; panel < panels; ++panel) {
      const index width = vectors / panels + (panel < vectors % panels ? 1 : 0);
      CHECK(cpu::panel_vectors_of(left) == width);
      left -= width;
    }
    CHECK(left == 0);
  }
}

TEST_CASE("columns are filled up to whole vectors") {
  constexpr index lanes = cpu::float_lanes;
  for (index vectors = 0; vectors < 5; ++vectors)
    for (index rest = 1; rest <= lanes; ++rest)
      CHECK(cpu::panel_columns(vectors * lanes + rest) == (vectors + 1) * lanes);
  CHECK(cpu::panel_columns(0) == 0);
}

TEST_CASE("a tile of a panel product and what it reads fit the registers, and the sums fill at least half of them") {
#if defined(__AVX512F__) || defined(__aarch64__)
  constexpr int registers = 32;
#else
  constexpr int registers = 16;
#endif
  for (int vectors = 1; vectors <= cpu::most_panel_vectors; ++vectors) {
    CAPTURE(vectors);
    const int sums = cpu::detail::panel_tile_rows(vectors) * vectors;
    CHECK(sums + vectors + 1 <= registers);
    if (cpu::tile_rows(registers) == registers) CHECK(2 * sums >= registers);  // sanitizers have lower tiles
  }
}

TEST_CASE("lines that are asked for ahead are the next ones, until none is left") {
  float memory[16 * 10] = {};
  for (const bool near : {true, false}) {
    cpu::AheadLines ahead{memory, 10, near};
    ahead.ask(3);
    CHECK(ahead.from == memory + 3 * 16);
    CHECK(ahead.lines == 7);
    ahead.ask(7);
    CHECK(ahead.from == memory + 10 * 16);
    CHECK(ahead.lines == 0);
    ahead.ask(5);
    CHECK(ahead.from == memory + 10 * 16);
    CHECK(ahead.lines == 0);
    ahead = {memory, 4, near};
    ahead.ask(5);
    CHECK(ahead.from == memory + 4 * 16);
    CHECK(ahead.lines == 0);
  }
}

TEST_CASE("products of bfloat16 terms as floats: the sum of the twin, and nothing beside rows of whole vectors") {
  pl::Random random(1);
  for (const index rows : {1, 2, 3, 4, 5, 6, 8, 13})
    for (const index columns : {1, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64})
      for (const index depth : {1, 2, 31, 32, 33, 65})
        for (const Edge edge : guarded::edges) {
          CAPTURE(rows);
          CAPTURE(columns);
          CAPTURE(depth);
          const index stride = cpu::panel_columns(columns);
          const Matrix p({rows, depth, depth + 2, 1}, edge, random), c({rows, columns, columns, 1}, edge);
          const Buffer<float> q(depth * stride, edge);
          for (index k = 0; k < depth; ++k)
            for (index j = 0; j < columns; ++j)
              q.data()[k * stride + j] = pl::bfloat16_term(static_cast<float>(random.normal()));
          cpu::paired_product(
              {p.view().data(), depth + 2, 1, q.data(), stride, c.view().data(), columns, rows, depth, columns});
          index wrong = 0;
          for (index r = 0; r < rows; ++r)
            for (index j = 0; j < columns; ++j) {
              const float expected = planish::kernels::reference::bfloat16_sum(
                  depth, [&](index k) { return p.view()(r, k); }, [&](index k) { return q.data()[k * stride + j]; });
              wrong += c.view()(r, j) == expected ? 0 : 1;
            }
          CHECK(wrong == 0);
        }
}

}  // namespace
