// Kronecker products with the right factor alone or with both: what lies dense and what does not, and how much scratch
// each way through them takes.
#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/kernels/cpu/kronecker_rows.hpp>

#include "laws/transform_laws.hpp"

namespace {

using laws::Matrix;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
namespace pl = planish;
using pl::index;  // inside a namespace: the C library has a function of this name

struct Product {
  index rows, n1, n2;
  bool left;
  index beside_x = 0, beside_y = 0;  // floats between rows
};

/// Runs the product, whose bits must be the reference's; returns how many floats of scratch it wrote.
index scratch_written(const Product& p) {
  INFO("rows ", p.rows, ", n1 ", p.n1, ", n2 ", p.n2, ", left ", p.left, ", beside ", p.beside_x, " ", p.beside_y);
  const index n = p.n1 * p.n2;
  const auto left = Matrix<float>::random(p.n1, p.n1, 1), right = Matrix<float>::random(p.n2, p.n2, 2);
  const float* const l = p.left ? left.values().data() : nullptr;
  const auto x = Matrix<float>::random(p.rows, n + p.beside_x, 3);
  Matrix<float> expected(p.rows, n + p.beside_y, 7.0f), made(p.rows, n + p.beside_y, 7.0f);
  constexpr float untouched = -3.0e33f;
  std::vector<float> scratch(static_cast<std::size_t>(reference::kronecker_scratch_size(p.n1, p.n2)), untouched),
      other(scratch);
  reference::kronecker_rows<float>(x.view().middle_columns(0, n), p.n1, p.n2, l, right.values().data(),
                                   expected.view().middle_columns(0, n), other);
  cpu::kronecker_rows(x.view().middle_columns(0, n), p.n1, p.n2, l, right.values().data(),
                      made.view().middle_columns(0, n), scratch);
  CHECK(std::memcmp(expected.values().data(), made.values().data(), made.values().size() * sizeof(float)) == 0);
  return static_cast<index>(scratch.size()) - std::count(scratch.begin(), scratch.end(), untouched);
}

constexpr index lanes = cpu::float_lanes, one_panel = cpu::most_panel_vectors * lanes;

TEST_CASE("the right factor alone is copied where it is wider than a panel and four times its rows use the copy") {
  struct Sizes {
    index rows, n1, n2;
  };
  for (const Sizes& s : {Sizes{1, 8, one_panel},
                         {40, 8, one_panel},
                         {4, one_panel + 16, one_panel + 16},
                         {3, one_panel + 16, one_panel + 16},
                         {8, one_panel / 2 + 8, one_panel + 16},
                         {7, one_panel / 2 + 8, one_panel + 16},
                         {12, 40, 80},
                         {7, 40, 80},
                         {8, 40, 80},
                         {17, 40, 88},
                         {9, 30, one_panel + 1},
                         {5, 96, 112},
                         {64, 2, 272}})
    for (const index beside_x : {0, 3})
      for (const index beside_y : {0, 5}) {
        const bool copied = s.n2 > one_panel && s.n2 <= 256 && s.n2 % lanes == 0 && s.rows * s.n1 >= 4 * s.n2;
        CHECK(scratch_written({s.rows, s.n1, s.n2, false, beside_x, beside_y}) == (copied ? s.n2 * s.n2 : 0));
      }
}

TEST_CASE("with both factors the right one is copied where it is wider than a panel and four rows use the copy") {
  for (const index n2 : {index{16}, one_panel, one_panel + 16, index{112}, index{256}})
    for (const index rows : {1, 2, 3, 4, 5, 9}) {
      const index n1 = 6, between = n1 * n2;
      const bool copied = n2 > one_panel && rows >= 4;
      CHECK(scratch_written({rows, n1, n2, true, 0, 0}) == between + (copied ? n2 * n2 : 0));
    }
}

TEST_CASE("two rows of an odd width go abreast, a row that is left over goes alone") {
  for (const index n2 : {17, 20, 24, 40, 100, 129, 250}) {
    if (cpu::kronecker_rows_abreast(n2) == 1) continue;
    const index n1 = 6, width = cpu::panel_columns(2 * n2);
    for (const index rows : {2, 4, 6}) {
      const index written = scratch_written({rows, n1, n2, true, 0, 3});
      CHECK(written == n1 * width + 2 * n1 * n2 + n2 * width);
    }
  }
}

TEST_CASE("rows go abreast where two fill more of their vectors than one does") {
  for (index n2 = 1; n2 <= 300; ++n2) {
    const index rest = n2 % lanes;
    CHECK(cpu::kronecker_rows_abreast(n2) == (rest > 0 && 2 * rest <= lanes ? 2 : 1));
  }
}

TEST_CASE("rows without panels go through the left factor side by side, as many as waste the fewest lanes") {
  for (index n2 = 1; n2 <= 300; ++n2) {
    CAPTURE(n2);
    const auto vectors = [&](index rows) { return (rows * n2 + lanes - 1) / lanes; };
    index best = 1;  // the fewest rows with the fewest vectors for four
    if (reference::kronecker_joint_rows(n2) == 4) {
      if (2 * vectors(2) < 4 * vectors(1)) best = 2;
      if (vectors(4) < std::min(2 * vectors(2), 4 * vectors(1))) best = 4;
    }
    CHECK(cpu::detail::joint_vectors(3, n2) == vectors(3));
    CHECK(cpu::detail::joint_rows(n2) == best);
  }
}

TEST_CASE("exactly as many rows as go side by side do so") {
  for (const index n2 : {2, 3, 5, 9, 13}) {
    const index joint = cpu::detail::joint_rows(n2), n1 = 5, n = n1 * n2;
    if (joint == 1) continue;
    CAPTURE(n2);
    CHECK(scratch_written({joint, n1, n2, true, 0, 0}) == 2 * joint * n);
    CHECK(scratch_written({2 * joint, n1, n2, true, 3, 3}) == 2 * joint * n);
    CHECK(scratch_written({joint - 1, n1, n2, true, 0, 0}) == n);
  }
}

}  // namespace
