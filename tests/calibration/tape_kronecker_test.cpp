#include <planish/calibration/tape/kronecker.hpp>
#include <planish/calibration/tape/product.hpp>

#include "gradient_check.hpp"
#include "tape_against_double.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using tape_check::check_float;
namespace tape = planish::calibration::tape;

namespace {

struct KroneckerSizes {
  planish::index rows, n1, n2;
};

}  // namespace

TEST_CASE("Kronecker products: gradients equal central differences") {
  for (const auto& s : {KroneckerSizes{1, 1, 1}, {3, 1, 4}, {2, 5, 1}, {4, 3, 5}, {5, 7, 2}, {0, 3, 4}}) {
    CAPTURE(s.n1);
    CAPTURE(s.n2);
    Parameter x(s.rows, s.n1 * s.n2, 1), left(s.n1, s.n1, 2), right(s.n2, s.n2, 3), scale(1, s.n1 * s.n2, 4);
    check({&x, &left, &right, &scale},
          [](auto&, auto& p) { return weighted_sum(tape::kronecker(p[0], p[1], p[2], p[3])); });
    check({&x, &left, &scale}, [](auto&, auto& p) { return weighted_sum(tape::kronecker_left(p[0], p[1], p[2])); });
    check({&x, &right, &scale}, [](auto&, auto& p) { return weighted_sum(tape::kronecker_right(p[0], p[1], p[2])); });
    check({&x, &left, &right}, [](auto&, auto& p) { return weighted_sum(tape::kronecker(p[0], p[1], p[2])); });
    check({&x, &left}, [](auto&, auto& p) { return weighted_sum(tape::kronecker_left(p[0], p[1])); });
    check({&x, &right}, [](auto&, auto& p) { return weighted_sum(tape::kronecker_right(p[0], p[1])); });
  }
}

TEST_CASE("Kronecker products: gradients of a part of the inputs") {
  Parameter x(6, 12, 4), left(3, 3, 5), right(4, 4, 6);
  check({&x}, [&](auto& t, auto& p) {
    return weighted_sum(tape::kronecker(p[0], t.constant(left.view()), t.constant(right.view())));
  });
  check({&left}, [&](auto& t, auto& p) {
    return weighted_sum(tape::kronecker(t.constant(x.view()), p[0], t.constant(right.view())));
  });
  check({&right}, [&](auto& t, auto& p) {
    return weighted_sum(tape::kronecker(t.constant(x.view()), t.constant(left.view()), p[0]));
  });
  Parameter scale(1, 12, 7);
  check({&scale}, [&](auto& t, auto& p) {
    return weighted_sum(tape::kronecker(t.constant(x.view()), t.constant(left.view()), t.constant(right.view()), p[0]));
  });
  check({&left, &right, &scale},
        [&](auto& t, auto& p) { return weighted_sum(tape::kronecker(t.constant(x.view()), p[0], p[1], p[2])); });
  check({&x}, [&](auto& t, auto& p) {
    return weighted_sum(tape::kronecker_right(p[0], t.constant(right.view()), t.constant(scale.view())));
  });
}

TEST_CASE("Kronecker products: what is used twice collects both gradients") {
  Parameter x(5, 9, 7), factor(3, 3, 8);
  check({&x, &factor}, [](auto&, auto& p) {
    const auto once = tape::kronecker(p[0], p[1], p[1]);
    return weighted_sum(tape::add(tape::kronecker_left(once, p[1]), tape::kronecker_right(once, p[1])));
  });
  Parameter scale(1, 9, 9);
  check({&x, &factor, &scale}, [](auto&, auto& p) {
    const auto once = tape::kronecker(p[0], p[1], p[1], p[2]);
    return weighted_sum(tape::add(tape::kronecker_left(once, p[1], p[2]), tape::kronecker_right(once, p[1], p[2])));
  });
}

TEST_CASE("Kronecker products equal the dense product, also on rows with gaps") {
  Parameter wide(4, 20, 9), left(3, 3, 10), right(5, 5, 11);
  tape::Tape<double> t;
  const planish::MatrixView<double> x(wide.values.data(), 4, 15, 20);
  std::vector<double> gradient(60, 1.0);
  const auto y =
      tape::kronecker(t.parameter(x, {gradient.data(), 4, 15}), t.constant(left.view()), t.constant(right.view()));
  for (planish::index r = 0; r < 4; ++r)
    for (planish::index i = 0; i < 15; ++i) {
      double sum = 0.0;
      for (planish::index j = 0; j < 15; ++j) sum += x(r, j) * left.view()(j / 5, i / 5) * right.view()(j % 5, i % 5);
      CHECK(y.value()(r, i) == doctest::Approx(sum));
    }
  t.backward(weighted_sum(y));
  CHECK(gradient[0] != 1.0);
}

TEST_CASE("Kronecker products in float: close to float64, the same bits on any number of threads") {
  for (const auto& s : {KroneckerSizes{1, 1, 1},
                        {3, 2, 3},
                        {2, 9, 64},
                        {1, 48, 32},
                        {130, 24, 24},
                        {65, 32, 48},
                        {70, 17, 31},
                        {100, 5, 100},
                        {40, 130, 7}}) {
    CAPTURE(s.n1);
    CAPTURE(s.n2);
    const tape_check::Shape x{s.rows, s.n1 * s.n2}, left{s.n1, s.n1}, right{s.n2, s.n2};
    check_float({x, left, right}, [](auto& p) { return tape::kronecker(p[0], p[1], p[2]); });
    check_float({x, left, right, {1, x.columns}}, [](auto& p) { return tape::kronecker(p[0], p[1], p[2], p[3]); });
    check_float({x, left, {1, x.columns}}, [](auto& p) { return tape::kronecker_left(p[0], p[1], p[2]); });
    check_float({x, right, {1, x.columns}}, [](auto& p) { return tape::kronecker_right(p[0], p[1], p[2]); });
    check_float({x, left}, [](auto& p) { return tape::kronecker_left(p[0], p[1]); });
    check_float({x, right}, [](auto& p) { return tape::kronecker_right(p[0], p[1]); });
  }
  check_float({{70, 36}, {6, 6}}, [](auto& p) {
    const auto y = tape::kronecker(p[0], p[1], p[1]);
    return tape::add(tape::kronecker_left(y, p[1]), y);
  });
}

TEST_CASE("Kronecker products: misuse throws a sentence") {
  Parameter x(4, 12, 12), a(3, 3, 13), b(5, 5, 14), oblong(3, 4, 15);
  tape::Tape<double> t;
  const auto rows = t.constant(x.view()), three = t.constant(a.view()), five = t.constant(b.view());
  CHECK_THROWS_WITH_AS((void)tape::kronecker(rows, three, five), "a Kronecker product of 3 x 3 and 5 x 5 on rows of 12",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, five), "a left factor of 5 x 5 on rows of 12", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_right(rows, five), "a right factor of 5 x 5 on rows of 12",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, t.constant(oblong.view())),
                       "a factor of a Kronecker product is 3 x 4, not square", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_right(rows, t.constant(oblong.view())),
                       "a factor of a Kronecker product is 3 x 4, not square", planish::Error);
  const auto none = t.constant({a.values.data(), 0, 0});
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, none), "a left factor of 0 x 0 on rows of 12", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_right(rows, none), "a right factor of 0 x 0 on rows of 12",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, three, t.reshape(rows, 12, 4)),
                       "scaling 12 columns by 12 x 4 factors", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, three, rows), "scaling 12 columns by 4 x 12 factors",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::kronecker_left(rows, three, t.reshape(three, 1, 9)),
                       "scaling 12 columns by 1 x 9 factors", planish::Error);
}

TEST_CASE("Kronecker products: sizes and factors that do not fit are refused, each by itself") {
  Parameter x(4, 12, 12), a(3, 3, 13), b(4, 4, 14);
  tape::Tape<double> t;
  const auto rows = t.constant(x.view()), three = t.constant(a.view()), four = t.constant(b.view());
  using Optional = std::optional<tape::Variable<double>>;
  const auto refuses = [&](planish::index n1, planish::index n2, const Optional& left, const Optional& right) {
    try {
      tape::detail::check_kronecker<double>(rows, n1, n2, left, right, {});
    } catch (const planish::Error&) {
      return true;
    }
    return false;
  };
  CHECK_FALSE(refuses(3, 4, three, four));
  CHECK_FALSE(refuses(3, 4, three, {}));
  CHECK_FALSE(refuses(3, 4, {}, four));
  CHECK_FALSE(refuses(3, 4, {}, {}));
  CHECK(refuses(3, 5, three, {}));
  CHECK(refuses(5, 4, {}, four));
  CHECK(refuses(4, 3, three, {}));
  CHECK(refuses(4, 3, {}, four));
  CHECK(refuses(4, 3, four, four));
  CHECK(refuses(4, 3, three, three));
}
