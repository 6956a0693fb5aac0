// The consumers of a site in one fork-join.
#include <array>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;
using Product = pl::SiteProduct<pl::DefaultBackend>;

namespace together {
namespace {

pl::AnyLinear linear_of(pl::index out, pl::index n, int bits, std::uint64_t seed, pl::SiteMode mode) {
  const Matrix w(out, n, seed, 0.05);
  if (bits == 16) return made(pl::AnyLinear::make_float(w.view(), samples::offsets(out, seed)));
  return made(pl::AnyLinear::make(made(pl::quantize_weights(w.view(), {.bits = bits})).view(),
                                  samples::offsets(out, seed), mode));
}

TEST_CASE("products made together have the bits of products made one by one, on any executor") {
  for (const pl::index rows : {0, 1, 5, 70})
    for (const pl::index n : {1, 65, 576})
      for (const auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
        for (const int bits : {4, 8, 16}) {
          INFO(rows << " rows, " << n << " channels, w" << bits);
          const Matrix x(rows, n, 5);
          const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(n), pl::RowQuantizer{.bits = 8}, mode));
          Memory prepared(site.workspace_size(rows));
          auto workspace = prepared.workspace();
          pl::QuantizedInput in;
          REQUIRE(site.prepare(x.view(), in, workspace).ok());
          const std::array<pl::index, 3> outs{576, 33, 1};
          std::vector<pl::AnyLinear> linears;
          std::vector<Matrix> expected, results;
          std::vector<Product> products;
          for (const pl::index out : outs) {
            linears.push_back(linear_of(out, n, bits, static_cast<std::uint64_t>(out), mode));
            expected.emplace_back(rows, out, 9);
          }
          results = expected;
          for (std::size_t i = 0; i < outs.size(); ++i) {
            products.push_back({&linears[i], &in, results[i].view(), {}});
            if (i == 1) products.back().residual = results[i].view();
            Memory memory(linears[i].workspace_size(rows));
            REQUIRE(linears[i]
                        .multiply(in, expected[i].view(), memory.workspace(), {},
                                  i == 1 ? expected[i].view() : pl::MatrixView<const float>())
                        .ok());
          }
          samples::Shuffled executor;
          const std::span<const Product> all(products);
          Memory memory(pl::together_workspace_size(all, rows, executor.workers()));
          REQUIRE(pl::multiply_together(all, memory.workspace(), executor).ok());
          for (std::size_t i = 0; i < outs.size(); ++i)
            CHECK(samples::different_bits(results[i].view(), expected[i].view()) == 0);
        }
}

TEST_CASE("what cannot be multiplied together is refused before anything is made") {
  const Matrix x(5, 64, 5), shorter(4, 64, 5);
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), pl::RowQuantizer{.bits = 8}));
  Memory first(site.workspace_size(5)), second(site.workspace_size(5));
  auto wa = first.workspace(), wb = second.workspace();
  pl::QuantizedInput in, other;
  REQUIRE(site.prepare(x.view(), in, wa).ok());
  REQUIRE(site.prepare(shorter.view(), other, wb).ok());
  const auto linear = linear_of(32, 64, 4, 3, pl::SiteMode::packed);
  Matrix a(5, 32), b(4, 32);
  Memory memory(linear.workspace_size(5));
  const auto refuse = [&](Product p, Product q, pl::Workspace workspace, const char* sentence) {
    const std::array<Product, 2> products{p, q};
    CHECK(samples::text(pl::multiply_together(products, workspace)) == sentence);
  };
  const Product good{&linear, &in, a.view()};
  refuse(good, {&linear, &other, b.view()}, memory.workspace(),
         "inputs of 5 and of 4 rows cannot be multiplied together");
  refuse(good, good, memory.workspace(), "outputs 0 and 1 of a site overlap");
  refuse(good, {&linear, &in, b.view()}, memory.workspace(), "the output is 4 x 32, the product 5 x 32");
  Matrix c(5, 32);
  const std::string text = [&] {
    const std::array<Product, 2> products{good, {&linear, &in, c.view()}};
    return samples::text(pl::multiply_together(products, pl::Workspace{}));
  }();
  CHECK(text.starts_with("the products of a site need a workspace of "));
  for (const float value : a.values) CHECK(value == 0.0f);
}

}  // namespace
}  // namespace together
