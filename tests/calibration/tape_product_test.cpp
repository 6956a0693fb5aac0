#include <planish/calibration/tape/product.hpp>
#include <planish/calibration/tape/split_products.hpp>
#include <planish/kernels/reference/multiply_float.hpp>

#include "gradient_check.hpp"
#include "tape_against_double.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using tape_check::check_float;
namespace tape = planish::calibration::tape;

namespace {

struct ProductSizes {
  planish::index m, n, k;
};

}  // namespace

TEST_CASE("products: gradients equal central differences") {
  for (const auto& s : {ProductSizes{1, 1, 1}, {3, 7, 5}, {2, 1, 11}, {6, 4, 1}}) {
    Parameter x(s.m, s.k, 1), w(s.n, s.k, 2), a(s.k, s.n, 3);
    check({&x, &w}, [](auto&, auto& p) { return weighted_sum(tape::multiply_transposed(p[0], p[1])); });
    check({&x, &a}, [](auto&, auto& p) { return weighted_sum(tape::multiply(p[0], p[1])); });
  }
}

TEST_CASE("products: a factor used twice collects both gradients") {
  Parameter x(5, 5, 4), y(5, 5, 5);
  check({&x, &y}, [](auto&, auto& p) {
    const auto once = tape::multiply_transposed(p[0], p[1]);
    return weighted_sum(tape::multiply(tape::multiply_transposed(once, p[0]), once));
  });
}

TEST_CASE("products in float: close to float64, the same bits on any number of threads") {
  for (const auto& s : {ProductSizes{1, 1, 1},
                        {2, 3, 5},
                        {1, 64, 300},
                        {13, 33, 17},
                        {401, 35, 29},
                        {37, 131, 523},
                        {97, 512, 66},
                        {770, 97, 260}}) {
    CAPTURE(s.m);
    CAPTURE(s.n);
    CAPTURE(s.k);
    check_float({{s.m, s.k}, {s.n, s.k}}, [](auto& p) { return tape::multiply_transposed(p[0], p[1]); });
    check_float({{s.m, s.k}, {s.k, s.n}}, [](auto& p) { return tape::multiply(p[0], p[1]); });
  }
}

TEST_CASE("products in float: gradients that are not fresh are added to") {
  check_float({{40, 48}, {48, 48}}, [](auto& p) {
    const auto y = tape::multiply_transposed(p[0], p[1]);
    return tape::multiply(tape::add(y, tape::multiply(y, p[1])), p[1]);
  });
}

TEST_CASE("products in float: the reference's bits, however they are cut") {
  for (const auto& s :
       {ProductSizes{1, 1, 1}, {13, 33, 17}, {12, 32, 384}, {25, 70, 385}, {530, 40, 29}, {37, 31, 1200}}) {
    const tape_check::Leaf<float> x({s.m, s.k}, 1), w({s.n, s.k}, 2);
    const planish::MatrixView<const float> a(x.values.data(), s.m, s.k), b(w.values.data(), s.n, s.k);
    const auto panels = planish::FloatPanels::make(b);
    REQUIRE(panels);
    std::vector<float> expected(static_cast<std::size_t>(s.m * s.n));
    planish::kernels::reference::multiply_float(a, panels->view(), {}, {expected.data(), s.m, s.n},
                                                {0, planish::panel_count(s.n)}, {});
    for (int workers : {1, 3}) {
      ThreadPerWorker pool{workers};
      tape::Tape<float> t(pool);
      const auto y = tape::multiply_transposed(t.constant(a), t.constant(b)).value();
      CHECK(std::equal(expected.begin(), expected.end(), y.data()));
    }
  }
}

TEST_CASE("products of split bfloat16: 16 bits of significand, the same bits on any number of threads") {
  static_cast<void>(planish::enable_amx());
  if (!tape::can_split_products()) return;
  for (const auto& s : {ProductSizes{128, 96, 96}, {401, 135, 129}, {37, 131, 523}, {97, 512, 66}, {770, 97, 1260}}) {
    CAPTURE(s.m);
    CAPTURE(s.n);
    CAPTURE(s.k);
    const auto build = [](auto& p) {
      p[0].tape().set_products(tape::Products::split_bfloat16);
      return tape::multiply(tape::multiply_transposed(p[0], p[1]), p[1]);  // the second gradient of p[1] is added
    };
    check_float({{s.m, s.k}, {s.n, s.k}}, build, 2e-5);
    // more than bfloat16 itself could hold, less than float32: the option does what it says
    const auto split = tape_check::values_and_gradients<float>(1, {{s.m, s.k}, {s.n, s.k}}, build);
    const auto whole = tape_check::values_and_gradients<float>(1, {{s.m, s.k}, {s.n, s.k}}, [](auto& p) {
      return tape::multiply(tape::multiply_transposed(p[0], p[1]), p[1]);
    });
    CHECK(split != whole);
  }
}

TEST_CASE("a constant factor gets no gradient, and its product none without the other") {
  Parameter x(4, 6, 8), w(3, 6, 9);
  tape::Tape<double> t;
  const auto constant = t.constant(x.view());
  CHECK_FALSE(tape::multiply_transposed(constant, t.constant(w.view())).needs_gradient());
  t.backward(weighted_sum(tape::multiply_transposed(constant, t.parameter(w.view(), w.gradient_view()))));
  CHECK(w.gradient[0] != 0.0);
}

TEST_CASE("products without terms are zero") {
  tape::Tape<float> t;
  const float one = 1.0f;
  const auto none = t.constant({&one, 3, 0}), other = t.constant({&one, 2, 0});
  const auto y = tape::multiply_transposed(none, other).value();
  REQUIRE(y.size() == 6);
  for (planish::index r = 0; r < 3; ++r)
    for (planish::index c = 0; c < 2; ++c) CHECK(y(r, c) == 0.0f);
}

TEST_CASE("products of split bfloat16 start at 2^20 multiply-adds; smaller ones have the bits of float32") {
  static_cast<void>(planish::enable_amx());
  if (!tape::can_split_products()) return;
  for (const auto& s : {ProductSizes{64, 128, 128}, {64, 127, 128}, {63, 128, 128}, {64, 128, 127}}) {
    const tape_check::Leaf<float> x({s.m, s.k}, 1), w({s.n, s.k}, 2);
    std::vector<std::vector<float>> made;
    for (const tape::Products products : {tape::Products::float32, tape::Products::split_bfloat16}) {
      tape::Tape<float> t;
      t.set_products(products);
      const auto y =
          tape::multiply_transposed(t.constant({x.values.data(), s.m, s.k}), t.constant({w.values.data(), s.n, s.k}))
              .value();
      made.emplace_back(y.data(), y.data() + y.size());
    }
    CHECK((made[0] == made[1]) == (s.m * s.n * s.k < (planish::index{1} << 20)));
  }
}

TEST_CASE("a product of float32 borrows its packed rows, a chunk of terms at a time, and scratch for every worker") {
  namespace cpu = planish::kernels::cpu;
  for (planish::index depth : {planish::index{1}, planish::index{40}, cpu::product_chunk, cpu::product_chunk + 1})
    for (int workers : {1, 3}) {
      ThreadPerWorker pool{workers};
      tape::Tape<float> t(pool);
      const tape_check::Leaf<float> x({70, depth}, 1), w({50, depth}, 2);
      std::vector<float> y(70 * 50);
      tape::detail::multiply_into(t, {x.values.data(), 70, depth}, {w.values.data(), 50, depth},
                                  {{y.data(), 70, 50}, true});
      CHECK(t.memory_bytes() ==
            static_cast<std::size_t>(70 * std::min(depth, cpu::product_chunk) + workers * cpu::product_scratch_size) *
                sizeof(float));
    }
}

TEST_CASE("products: misuse throws a sentence") {
  Parameter x(4, 6, 8), y(5, 4, 9);
  tape::Tape<double> t;
  const auto a = t.constant(x.view()), b = t.constant(y.view());
  CHECK_THROWS_WITH_AS((void)tape::multiply_transposed(a, b), "a product of 4 x 6 and the transpose of 5 x 4",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::multiply(a, b), "a product of 4 x 6 and 5 x 4", planish::Error);
}
