// Products of small matrices and of matrices that change from call to call: every element is one sum of terms over
// rising depth, whatever the strides; nothing is touched beside the operands, and what is asked for ahead is not read.
#include <bit>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/rescale.hpp>
#include <planish/kernels/cpu/float_product.hpp>
#include <planish/kernels/cpu/pack_product_strips.hpp>
#include <planish/kernels/cpu/panel_product.hpp>
#include <planish/kernels/cpu/row_dots.hpp>
#include <planish/kernels/cpu/small_product.hpp>

#include "guarded_memory.hpp"
#include "samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
using guarded::Buffer;
using guarded::Edge;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

Buffer<float> values(index count, Edge edge, pl::Random& random) {
  return {std::span<const float>(samples::floats(count, random)), edge};
}

index extent(index rows, index columns, index row_stride, index column_stride) {
  return (rows - 1) * row_stride + (columns - 1) * column_stride + 1;
}

bool same(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

/// The sum of terms p[k · p_step] · q[k · q_step] over rising k, on top of `sum`.
float in_order(const float* p, index p_step, const float* q, index q_step, index depth, float sum = 0.0f) {
  for (index k = 0; k < depth; ++k) sum = pl::multiply_add(p[k * p_step], q[k * q_step], sum);
  return sum;
}

struct Shape {
  index rows, depth, columns;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const index rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 24, 27, 30, 43})
    for (const index columns : {1, 3, 4, 7, 8, 15, 16, 17, 32, 33, 47, 48, 49, 64, 65, 80, 96, 100, 144})
      all.push_back({rows, 1 + (rows * columns) % 6, columns});
  return all;
}

TEST_CASE("a small product at any strides is the sum in order, and stays within its operands") {
  pl::Random random(1);
  index wrong = 0;
  for (const Shape& s : shapes())
    for (const Edge edge : guarded::edges) {
      const bool across = random.below(2) == 0;  // P column by column
      const index spare = static_cast<index>(random.below(3));
      const index p_row = across ? 1 : s.depth + spare, p_column = across ? s.rows + spare : 1;
      const index q_row = s.columns + static_cast<index>(random.below(3)), c_row = s.columns + spare;
      const auto p = values(extent(s.rows, s.depth, p_row, p_column), edge, random);
      const auto q = values(extent(s.depth, s.columns, q_row, 1), edge, random);
      const Buffer<float> c(extent(s.rows, s.columns, c_row, 1), edge), next(s.rows * s.columns, edge);
      for (float& value : c.span()) value = -77.0f;
      cpu::small_product({p.data(), p_row, p_column, q.data(), q_row, c.data(), c_row, s.rows, s.depth, s.columns,
                          random.below(2) == 0 ? next.data() : nullptr});
      for (index i = 0; i < static_cast<index>(c.span().size()); ++i) {
        const index row = i / c_row, column = i % c_row;
        const float expected =
            column < s.columns ? in_order(p.data() + row * p_row, p_column, q.data() + column, q_row, s.depth) : -77.0f;
        wrong += !same(c.data()[i], expected);
      }
    }
  CHECK(wrong == 0);
}

TEST_CASE("a product of panels is the sum in order, from and to rows or panels") {
  pl::Random random(2);
  index wrong = 0;
  for (const Shape& s : shapes())
    for (const Edge edge : guarded::edges)
      for (const bool from_panels : {false, true})
        for (const bool to_panels : {false, true}) {
          const index filled = cpu::panel_columns(s.columns);
          const bool across = random.below(2) == 0;
          const index spare = static_cast<index>(random.below(3));
          const index p_row = across ? 1 : s.depth + spare, p_column = across ? s.rows + spare : 1;
          const auto p = values(extent(s.rows, s.depth, p_row, p_column), edge, random);
          const auto q = values(s.depth * filled, edge, random);
          const index c_row = s.columns + spare;
          const Buffer<float> c(to_panels ? s.rows * filled : extent(s.rows, s.columns, c_row, 1), edge);
          for (float& value : c.span()) value = -77.0f;
          const cpu::AheadLines ahead{p.data(), static_cast<index>(random.below(40)), random.below(2) == 0};
          cpu::panel_product({p.data(), p_row, p_column, q.data(), from_panels ? 0 : filled, c.data(),
                              to_panels ? 0 : c_row, s.rows, s.depth, s.columns, ahead});
          std::vector<index> first(static_cast<std::size_t>(filled)), width(first.size());  // of the panel of a column
          for (index f = 0; f < filled;) {
            const index w = cpu::panel_vectors_of((filled - f) / cpu::float_lanes) * cpu::float_lanes;
            for (index i = f; i < f + w; ++i)
              first[static_cast<std::size_t>(i)] = f, width[static_cast<std::size_t>(i)] = w;
            f += w;
          }
          for (index r = 0; r < s.rows; ++r)
            for (index column = 0; column < (to_panels ? filled : s.columns); ++column) {
              const index f = first[static_cast<std::size_t>(column)], w = width[static_cast<std::size_t>(column)];
              const float* from = from_panels ? q.data() + f * s.depth + column - f : q.data() + column;
              const index at = to_panels ? f * s.rows + r * w + column - f : r * c_row + column;
              wrong += !same(c.data()[at],
                             in_order(p.data() + r * p_row, p_column, from, from_panels ? w : filled, s.depth));
              c.data()[at] = -77.0f;
            }
          for (const float value : c.span()) wrong += value != -77.0f;
        }
  CHECK(wrong == 0);
}

TEST_CASE("dot products of rows are summed over all pairs of matrices") {
  pl::Random random(3);
  index wrong = 0;
  for (const index groups : {0, 1, 2, 5})
    for (const index rows : {1, 2, 3, 4, 5, 7, 9})
      for (const index columns : {1, 2, 3, 5, 6, 7, 12, 13})
        for (const index depth : {1, 3, 4, 7, 8, 12, 16, 17, 33})
          for (const Edge edge : guarded::edges) {
            const Buffer<float> a(groups * rows * depth, edge), b(groups * columns * depth, edge);
            const Buffer<float> c(rows * columns, edge);
            for (float& value : a.span()) value = static_cast<float>(random.below(33)) - 16.0f;  // whole: sums exact
            for (float& value : b.span()) value = static_cast<float>(random.below(33)) - 16.0f;
            for (float& value : c.span()) value = -77.0f;
            cpu::row_dots({a.data(), b.data(), groups, rows, columns, depth, c.data()});
            for (index r = 0; r < rows; ++r)
              for (index k = 0; k < columns; ++k) {
                float sum = 0.0f;
                for (index g = 0; g < groups; ++g)
                  sum = in_order(a.data() + (g * rows + r) * depth, 1, b.data() + (g * columns + k) * depth, 1, depth,
                                 sum);
                wrong += c.data()[r * columns + k] != sum;
              }
          }
  CHECK(wrong == 0);
}

TEST_CASE("the lanes of a dot product are added up by quarters, in one order") {
  alignas(64) float vectors[4 * cpu::FloatBatch::size];
  pl::Random random(4);
  for (int turn = 0; turn < 20; ++turn) {
    for (float& value : vectors) value = static_cast<float>(random.normal());
    const cpu::detail::FourFloats sums = cpu::detail::sums_of_lanes(vectors);
    for (index i = 0; i < 4; ++i) {
      float quarters[4] = {};
      for (index lane = 0; lane < cpu::float_lanes; ++lane) {
        const float value = vectors[i * cpu::float_lanes + lane];
        quarters[lane % 4] = lane < 4 ? value : quarters[lane % 4] + value;
      }
      CHECK(same(sums[static_cast<int>(i)], (quarters[0] + quarters[1]) + (quarters[2] + quarters[3])));
    }
  }
}

TEST_CASE("a float product of packed strips is, or adds, the sum in order; rows or columns of both may be dense") {
  pl::Random random(5);
  index wrong = 0;
  for (const index rows : {1, 2, 5, 6, 11, 12, 13, 24, 25, 61})
    for (const index channels : {1, 7, 8, 16, 17, 31, 32, 33, 64, 75})
      for (const Edge edge : guarded::edges) {
        const index depth = 1 + static_cast<index>(random.below(70)), spare = static_cast<index>(random.below(3));
        const bool a_across = random.below(2) == 0, b_across = random.below(2) == 0, adds = random.below(2) == 0;
        const index a_row = a_across ? 1 : depth + spare, a_column = a_across ? rows + spare : 1;
        const index b_row = b_across ? 1 : depth + spare, b_column = b_across ? channels + spare : 1;
        const auto a = values(extent(rows, depth, a_row, a_column), edge, random);
        const auto b = values(extent(channels, depth, b_row, b_column), edge, random);
        const index c_row = channels + spare;
        const auto c = values(extent(rows, channels, c_row, 1), edge, random);
        const std::vector<float> before(c.span().begin(), c.span().end());
        const Buffer<float> strips(rows * depth, edge);
        const Buffer<float> scratch(depth * pl::panel_width, edge);
        const index count = (rows + cpu::product_strip_rows - 1) / cpu::product_strip_rows, half = count / 2;
        const pl::MatrixView<const float> left(a.data(), rows, depth, a_row, a_column);
        for (const pl::Range some : {pl::Range{0, half}, pl::Range{half, count}})
          cpu::pack_product_strips(left, some, strips.data());
        const cpu::FloatProduct product{
            strips.data(), {b.data(), channels, depth, b_row, b_column}, {c.data(), rows, channels, c_row}, adds};
        const index panels = pl::panel_count(channels);
        cpu::multiply_float_block(product, {0, half}, {0, panels}, scratch.span());
        cpu::multiply_float_block(product, {half, count}, {0, panels}, scratch.span());
        for (index i = 0; i < static_cast<index>(before.size()); ++i) {
          const index r = i / c_row, n = i % c_row;
          const float was = before[static_cast<std::size_t>(i)];
          const float expected = n < channels ? in_order(a.data() + r * a_row, a_column, b.data() + n * b_row, b_column,
                                                         depth, adds ? was : 0.0f)
                                              : was;
          wrong += !same(c.data()[i], expected);
        }
      }
  CHECK(wrong == 0);
}

}  // namespace
