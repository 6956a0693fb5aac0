// Hadamard, dense and Kronecker rows with every operand, factors and scratch too, against a page nobody may touch.
#include <initializer_list>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/default.hpp>
#include <planish/backend/enable_amx.hpp>
#include <planish/core/random.hpp>
#include <planish/kernels/reference/dense_rows.hpp>
#include <planish/transform/hadamard.hpp>

#include "guarded_memory.hpp"
#include "kernels/samples.hpp"

namespace pl = planish;
namespace cpu = planish::kernels::cpu;
namespace reference = planish::kernels::reference;
using guarded::Buffer;
using guarded::Edge;
using guarded::Layout;
using guarded::Matrix;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

/// x and two results, one for each backend; what `run(namespace, x, y)` does must be the same.
template <class OnCpu, class OnReference>
void check_rows(index columns, Edge edge, pl::Random& random, OnCpu on_cpu, OnReference on_reference) {
  for (const index rows : {0, 1, 3, 9}) {
    CAPTURE(rows);
    const Layout to = Layout::random(rows, columns, random);
    const Matrix x(Layout::random(rows, columns, random), edge, random), y(to, edge), expected(to, edge);
    on_cpu(x.view(), y.view());
    on_reference(x.view(), expected.view());
    CHECK(guarded::same(y.all(), expected.all()));
  }
}

Buffer<float> values(index count, Edge edge, pl::Random& random) {
  return {std::span<const float>(samples::floats(count, random)), edge};
}

TEST_CASE("guard pages: Hadamard rows") {
  pl::Random random(3);
  for (const index n : {1, 2, 4, 12, 20, 28, 64, 96, 160, 576, 1536})
    for (const Edge edge : guarded::edges) {
      CAPTURE(n);
      const auto made = pl::Hadamard::make(n, 1);
      REQUIRE(made.has_value());
      const Buffer<float> signs({made->signs(), static_cast<std::size_t>(n)}, edge);
      const Buffer<float> scratch(made->scratch_size(9), edge);
      check_rows(
          n, edge, random,
          [&](auto x, auto y) { cpu::hadamard_rows(x, made->plan(), signs.data(), y, scratch.span()); },
          [&](pl::MatrixView<const float> x, auto y) {
            reference::hadamard_rows(x, made->plan(), static_cast<const float*>(signs.data()), y, scratch.span());
          });
    }
}

TEST_CASE("guard pages: dense rows") {
  pl::Random random(4);
  for (const index n : {1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65, 100})
    for (const Edge edge : guarded::edges) {
      CAPTURE(n);
      const Buffer<float> a = values(n * n, edge, random);
      check_rows(
          n, edge, random, [&](auto x, auto y) { cpu::dense_rows(x, a.data(), y); },
          [&](pl::MatrixView<const float> x, auto y) {
            reference::dense_rows(x, static_cast<const float*>(a.data()), y);
          });
    }
}

TEST_CASE("guard pages: Kronecker rows") {
  pl::Random random(5);
  for (const auto& factors : std::initializer_list<std::pair<index, index>>{
           {1, 1}, {1, 5}, {5, 1}, {2, 3}, {3, 16}, {4, 4}, {7, 9}, {8, 12}, {16, 17}, {24, 24}, {3, 100}}) {
    const index n1 = factors.first, n2 = factors.second;
    for (const Edge edge : guarded::edges)
      for (const int given : {1, 2, 3}) {
        CAPTURE(n1);
        CAPTURE(n2);
        CAPTURE(given);
        const Buffer<float> left = values(n1 * n1, edge, random), right = values(n2 * n2, edge, random);
        const float* l = given != 2 ? left.data() : nullptr;
        const float* r = given != 1 ? right.data() : nullptr;
        const Buffer<float> scratch(reference::kronecker_scratch_size(n1, n2), edge);
        check_rows(
            n1 * n2, edge, random, [&](auto x, auto y) { cpu::kronecker_rows(x, n1, n2, l, r, y, scratch.span()); },
            [&](pl::MatrixView<const float> x, auto y) {
              reference::kronecker_rows(x, n1, n2, l, r, y, scratch.span());
            });
      }
  }
}

TEST_CASE("guard pages: Kronecker rows of bfloat16, and their codes, with matrix tiles and without") {
  pl::Random random(6);
  for (const auto& factors : std::initializer_list<std::pair<index, index>>{{1, 1},
                                                                            {1, 5},
                                                                            {5, 1},
                                                                            {2, 3},
                                                                            {3, 16},
                                                                            {7, 9},
                                                                            {8, 12},
                                                                            {16, 17},
                                                                            {24, 24},
                                                                            {3, 100},
                                                                            {33, 31},
                                                                            {64, 64}}) {
    const index n1 = factors.first, n2 = factors.second, n = n1 * n2;
    for (const Edge edge : guarded::edges)
      for (const int given : {1, 2, 3})
        for (const bool tiles : {true, false}) {
          CAPTURE(n1);
          CAPTURE(n2);
          CAPTURE(given);
          if (tiles && !pl::enable_amx()) continue;
          const std::vector<float> left = samples::floats(n1 * n1, random), right = samples::floats(n2 * n2, random);
          const pl::Bfloat16Factors made(n1, n2, given != 2 ? left.data() : nullptr,
                                         given != 1 ? right.data() : nullptr);
          const Buffer<float> scratch(reference::kronecker_bfloat16_scratch_size(n1, n2), edge);
          check_rows(
              n, edge, random, [&](auto x, auto y) { cpu::kronecker_bfloat16_rows(x, made.view(), y, scratch.span()); },
              [&](auto x, auto y) { reference::kronecker_bfloat16_rows(x, made.view(), y, scratch.span()); });
          for (const index rows : {1, 4}) {
            const Layout dense{rows, n, n, 1};
            const Matrix x(dense, edge, random), room(dense, edge);
            std::vector<std::byte> memory(pl::quantized_rows_bytes(rows, n, false) + pl::buffer_alignment);
            pl::Workspace workspace(memory);
            CHECK(
                cpu::kronecker_bfloat16_codes(
                    {x.view(), 0, {}, pl::take_quantized_rows(workspace, rows, n, false), room.view(), scratch.span()},
                    made.view()) == 0);
          }
          pl::disable_amx();
        }
  }
}

}  // namespace
