// The parts of a Kronecker transform, each against its definition, with operands that end where memory ends.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/tape/kronecker_blocks.hpp>

#include "guarded_memory.hpp"

namespace pl = planish;
namespace tape = planish::calibration::tape;

namespace {

using guarded::Buffer;
using guarded::Edge;
using pl::index;  // inside a namespace: the C library has a function of this name

/// Small whole numbers: sums of their products are exact, whatever their order.
template <class T>
Buffer<T> numbers(index count, std::uint64_t seed, Edge edge) {
  pl::Random random(seed);
  std::vector<T> values;
  for (index i = 0; i < count; ++i) values.push_back(static_cast<T>(static_cast<int>(random.below(9)) - 4));
  return Buffer<T>(std::span<const T>(values), edge);
}

template <class T>
index wrong_products(index rows, index depth, index columns, bool turned, Edge edge) {
  const Buffer<T> p = numbers<T>(rows * depth, 1, edge), q = numbers<T>(depth * columns, 2, edge);
  const Buffer<T> c = numbers<T>(rows * columns, 3, edge);
  const pl::MatrixView<const T> left = turned ? pl::MatrixView<const T>(p.data(), depth, rows).transposed()
                                              : pl::MatrixView<const T>(p.data(), rows, depth);
  const pl::MatrixView<const T> right(q.data(), depth, columns);
  const pl::MatrixView<T> made(c.data(), rows, columns);
  tape::detail::block_product(left, right, made);
  index wrong = 0;
  for (index i = 0; i < rows; ++i)
    for (index j = 0; j < columns; ++j) {
      T sum{};
      for (index k = 0; k < depth; ++k) sum += left(i, k) * right(k, j);
      wrong += made(i, j) != sum;
    }
  return wrong;
}

TEST_CASE("a product of blocks is the product, of rows and of columns, and touches nothing else") {
  index wrong = 0;
  for (Edge edge : guarded::edges)
    for (bool turned : {false, true})
      for (index rows : {1, 4, 7})
        for (index depth : {0, 1, 5, 16})
          for (index columns : {1, 3, 16, 17}) {
            wrong += wrong_products<float>(rows, depth, columns, turned, edge);
            wrong += wrong_products<double>(rows, depth, columns, turned, edge);
          }
  CHECK(wrong == 0);
}

template <class T>
index wrong_left_factors(index rows, index n1, index n2, Edge edge) {
  const Buffer<T> x = numbers<T>(rows * n1 * n2, 1, edge), left = numbers<T>(n1 * n1, 2, edge);
  const Buffer<T> y = numbers<T>(rows * n1 * n2, 3, edge);
  const Buffer<T> scratch(tape::detail::left_factor_scratch(n1, n2), edge);
  tape::detail::apply_left_factor(pl::MatrixView<const T>(x.data(), rows, n1 * n2), n1, left.data(),
                                  pl::MatrixView<T>(y.data(), rows, n1 * n2), scratch.span());
  index wrong = 0;
  for (index r = 0; r < rows; ++r)
    for (index i = 0; i < n1; ++i)
      for (index j = 0; j < n2; ++j) {
        T sum{};
        for (index k = 0; k < n1; ++k) sum += left.data()[k * n1 + i] * x.data()[(r * n1 + k) * n2 + j];
        wrong += y.data()[(r * n1 + i) * n2 + j] != sum;
      }
  return wrong;
}

TEST_CASE("a left factor is applied to every row, and touches nothing else") {
  index wrong = 0;
  for (Edge edge : guarded::edges)
    for (index rows : {1, 2, 5})
      for (index n1 : {1, 3, 8})
        for (index n2 : {1, 3, 4, 7, 8, 9, 16, 17, 33}) {
          wrong += wrong_left_factors<float>(rows, n1, n2, edge);
          wrong += wrong_left_factors<double>(rows, n1, n2, edge);
        }
  CHECK(wrong == 0);
}

TEST_CASE("a left factor of matrices as wide as a register or wider takes no scratch") {
  for (index n2 :
       {pl::kernels::cpu::float_lanes, pl::kernels::cpu::float_lanes + 1, 4 * pl::kernels::cpu::float_lanes}) {
    const Buffer<float> x = numbers<float>(3 * n2, 1, Edge::back), left = numbers<float>(9, 2, Edge::back);
    const Buffer<float> y(3 * n2, Edge::back);
    std::vector<float> scratch(static_cast<std::size_t>(tape::detail::left_factor_scratch(3, n2)), -77.0f);
    tape::detail::apply_left_factor(pl::MatrixView<const float>(x.data(), 1, 3 * n2), 3, left.data(),
                                    pl::MatrixView<float>(y.data(), 1, 3 * n2), scratch);
    CHECK(std::all_of(scratch.begin(), scratch.end(), [](float v) { return v == -77.0f; }));
  }
}

TEST_CASE("matrices abreast: those of so many rows side by side, zeros for what is missing") {
  index wrong = 0;
  for (Edge edge : guarded::edges)
    for (index rows : {0, 1, 2, 3, 4, 7, 8})
      for (index abreast : {1, 2, 4})
        for (index n1 : {1, 3})
          for (index n2 : {1, 5, 8, 16, 21}) {
            const index groups = (rows + abreast - 1) / abreast, width = abreast * n2;
            const Buffer<float> x = numbers<float>(rows * n1 * n2, 1, edge), to(groups * n1 * width, edge);
            std::fill_n(to.data(), groups * n1 * width, -77.0f);
            tape::detail::lay_abreast(pl::MatrixView<const float>(x.data(), rows, n1 * n2), n1, abreast, to.data());
            for (index group = 0; group < groups; ++group)
              for (index i = 0; i < n1; ++i)
                for (index c = 0; c < width; ++c) {
                  const index row = group * abreast + c / n2;
                  const float expected = row < rows ? x.data()[(row * n1 + i) * n2 + c % n2] : 0.0f;
                  wrong += to.data()[(group * n1 + i) * width + c] != expected;
                }
          }
  CHECK(wrong == 0);
}

TEST_CASE("matrices of float64 lie as they did") {
  const Buffer<double> x = numbers<double>(5 * 12, 1, Edge::back), to(5 * 12, Edge::back);
  tape::detail::lay_abreast(pl::MatrixView<const double>(x.data(), 5, 12), 3, tape::detail::matrices_abreast<double>(4),
                            to.data());
  CHECK(std::equal(x.span().begin(), x.span().end(), to.data()));
  for (index n2 = 1; n2 < 70; ++n2) CHECK(tape::detail::matrices_abreast<double>(n2) == 1);
}

template <class T>
index wrong_left_products(index count, index n1, index depth, Edge edge) {
  const Buffer<T> a = numbers<T>(count * n1 * depth, 1, edge), b = numbers<T>(count * n1 * depth, 2, edge);
  const Buffer<T> c = numbers<T>(n1 * n1, 3, edge);
  tape::detail::sum_left_products(a.data(), b.data(), count, n1, depth, c.data());
  index wrong = 0;
  for (index i = 0; i < n1; ++i)
    for (index j = 0; j < n1; ++j) {
      T sum{};
      for (index m = 0; m < count; ++m)
        for (index k = 0; k < depth; ++k)
          sum += a.data()[(m * n1 + i) * depth + k] * b.data()[(m * n1 + j) * depth + k];
      wrong += c.data()[i * n1 + j] != sum;
    }
  return wrong;
}

TEST_CASE("the gradient of a left factor is the sum of A Bᵀ over all matrices, and touches nothing else") {
  index wrong = 0;
  for (Edge edge : guarded::edges)
    for (index count : {0, 1, 2, 5})
      for (index n1 : {1, 3, 8})
        for (index depth : {1, 4, 16, 19}) {
          wrong += wrong_left_products<float>(count, n1, depth, edge);
          wrong += wrong_left_products<double>(count, n1, depth, edge);
        }
  CHECK(wrong == 0);
}

template <class T>
index wrong_partials(index count, index rows, index columns, bool fresh, Edge edge) {
  const Buffer<T> partials = numbers<T>(count * rows * columns, 1, edge), to = numbers<T>(rows * columns, 2, edge);
  std::vector<T> expected(static_cast<std::size_t>(rows * columns));
  for (index i = 0; i < rows * columns; ++i) {
    T& sum = expected[static_cast<std::size_t>(i)] = fresh ? T{} : to.data()[i];
    for (index p = 0; p < count; ++p) sum += partials.data()[p * rows * columns + i];
  }
  tape::detail::sum_partials<T>(partials.data(), count, {pl::MatrixView<T>(to.data(), rows, columns), fresh});
  index wrong = 0;
  for (index i = 0; i < rows * columns; ++i) wrong += to.data()[i] != expected[static_cast<std::size_t>(i)];
  return wrong;
}

TEST_CASE("partial sums are added to what there is, or stand for it where it is fresh; none of them are zero") {
  index wrong = 0;
  for (Edge edge : guarded::edges)
    for (bool fresh : {false, true})
      for (index count : {0, 1, 2, 5})
        for (index rows : {1, 3})
          for (index columns : {1, 7, 16, 35}) {
            wrong += wrong_partials<float>(count, rows, columns, fresh, edge);
            wrong += wrong_partials<double>(count, rows, columns, fresh, edge);
          }
  CHECK(wrong == 0);
}

}  // namespace
