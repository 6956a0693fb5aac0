#include <limits>

#include <planish/calibration/tape/inverse.hpp>
#include <planish/calibration/tape/product.hpp>

#include "gradient_check.hpp"
#include "tape_against_double.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using tape_check::check_float;
namespace tape = planish::calibration::tape;

namespace {

/// Random, with a diagonal that keeps it well away from singular.
Parameter invertible(planish::index n, unsigned seed) {
  Parameter a(n, n, seed);
  for (planish::index i = 0; i < n; ++i) a.view()(i, i) += 3.0 + static_cast<double>(n);
  return a;
}

/// The largest element of |a bᵀ − I|.
double distance_from_inverse(planish::MatrixView<const double> a, planish::MatrixView<const double> b) {
  double largest = 0.0;
  for (planish::index i = 0; i < a.rows(); ++i)
    for (planish::index j = 0; j < a.rows(); ++j) {
      double sum = i == j ? -1.0 : 0.0;
      for (planish::index k = 0; k < a.columns(); ++k) sum += a(i, k) * b(j, k);
      largest = std::max(largest, std::fabs(sum));
    }
  return largest;
}

}  // namespace

TEST_CASE("inverse and Cayley map: gradients equal central differences") {
  for (const planish::index n : {1, 2, 3, 7, 12}) {
    CAPTURE(n);
    Parameter a = invertible(n, 1);
    check({&a}, [](auto&, auto& p) { return weighted_sum(tape::inverse_transpose(p[0])); });
    check({&a}, [](auto&, auto& p) {
      return weighted_sum(tape::multiply(p[0], tape::add(tape::inverse_transpose(p[0]), p[0])));
    });
  }
  for (const planish::index n : {2, 3, 7, 12}) {
    CAPTURE(n);
    Parameter x(n, n, 2);
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::cayley(p[0])); });
    check({&x}, [](auto&, auto& p) { return weighted_sum(tape::multiply(p[0], tape::cayley(p[0]))); });
  }
}

TEST_CASE("transpose: gradients equal central differences") {
  Parameter x(5, 3, 3);
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::transpose(p[0])); });
  check({&x}, [](auto&, auto& p) { return weighted_sum(tape::multiply(tape::transpose(p[0]), p[0])); });
}

TEST_CASE("factors of a transform are made of these operations") {
  Parameter left(5, 5, 4), right(5, 5, 5), s(1, 5, 6, 1.5, 0.3), fixed = invertible(5, 7), deviation(5, 5, 8, 0.0, 0.2);
  check({&left, &right, &s}, [](auto&, auto& p) {  // U diag(s) Vᵀ and its inverse transpose
    const auto u = tape::cayley(p[0]), v = tape::cayley(p[1]);
    const auto matrix = tape::multiply_transposed(tape::scale_columns(u, p[2]), v);
    const auto inverse = tape::multiply_transposed(tape::scale_columns(u, tape::reciprocal(p[2])), v);
    CHECK(distance_from_inverse(matrix.value(), inverse.value()) < 1e-13);
    return weighted_sum(tape::multiply(matrix, tape::multiply(inverse, matrix)));
  });
  check({&deviation}, [&](auto& t, auto& p) {  // F (I + D), F fixed
    const auto f = t.constant(fixed.view());
    const auto matrix = tape::add(f, tape::multiply(f, p[0]));
    return weighted_sum(tape::multiply(tape::inverse_transpose(matrix), matrix));
  });
}

TEST_CASE("values: an inverse inverts, a Cayley map is orthogonal and starts at the identity") {
  for (const planish::index n : {1, 5, 24, 64}) {
    Parameter a = invertible(n, 9), x(n, n, 10);
    tape::Tape<double> t;
    CHECK(distance_from_inverse(a.view(), tape::inverse_transpose(t.constant(a.view())).value()) < 1e-12);
    const auto q = tape::cayley(t.constant(x.view())).value();
    CHECK(distance_from_inverse(q, q) < 1e-12);
    std::fill(x.values.begin(), x.values.end(), 0.0);
    const auto identity = tape::cayley(t.constant(x.view())).value();
    for (planish::index r = 0; r < n; ++r)
      for (planish::index c = 0; c < n; ++c) CHECK(identity(r, c) == (r == c ? 1.0 : 0.0));
  }
  // Of 2 × 2, A = [0 −a; a 0] turns by 2 arctan(a / 2).
  Parameter x(2, 2, 11);
  x.view()(1, 0) = 0.8;
  tape::Tape<double> t;
  const auto q = tape::cayley(t.constant(x.view())).value();
  CHECK(q(0, 0) == doctest::Approx(std::cos(2.0 * std::atan(0.4))));
  CHECK(q(1, 0) == doctest::Approx(std::sin(2.0 * std::atan(0.4))));
  CHECK(q(0, 1) == doctest::Approx(-q(1, 0)));
}

TEST_CASE("in float: close to float64, the same bits on any number of threads") {
  for (const planish::index n : {1, 3, 24}) {
    check_float({{n, n}}, [](auto& p) { return tape::cayley(p[0]); });
    check_float({{n, n}}, [](auto& p) { return tape::inverse_transpose(tape::cayley(p[0])); });
  }
  for (const auto& s : {tape_check::Shape{1, 1}, {3, 130}, {131, 67}, {64, 128}}) {
    check_float({s}, [](auto& p) { return tape::transpose(p[0]); });
    check_float({s}, [](auto& p) { return tape::add(tape::transpose(tape::transpose(p[0])), p[0]); });
  }
}

TEST_CASE("no inverse: a sentence") {
  Parameter a(3, 3, 12), b(3, 4, 13);
  std::fill(a.values.begin(), a.values.end(), 1.0);
  tape::Tape<double> t;
  const auto singular = t.constant(a.view()), oblong = t.constant(b.view());
  CHECK_THROWS_WITH_AS((void)tape::inverse_transpose(singular), "inverse: the 3 x 3 matrix is singular (pivot 1)",
                       planish::Error);
  try {
    (void)tape::inverse_transpose(singular);
  } catch (const planish::Error& e) {
    CHECK(e.code() == planish::ErrorCode::singular);
  }
  CHECK_THROWS_WITH_AS((void)tape::inverse_transpose(oblong), "an inverse takes a square matrix, not 3 x 4",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::cayley(oblong), "a Cayley map takes a square matrix, not 3 x 4", planish::Error);
  a.view()(2, 0) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH_AS((void)tape::cayley(singular), "inverse: the matrix holds NaN or infinity", planish::Error);
}
