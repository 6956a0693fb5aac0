#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>

#include "laws/transform_laws.hpp"
#include "transform/samples.hpp"

namespace {

namespace pl = planish;

/// A stage of the user's own: no base class, nothing optional.
struct Reverse {
  pl::index n;
  pl::index size() const { return n; }
  pl::index scratch_size(pl::index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (pl::index r = 0; r < x.rows(); ++r)
      for (pl::index c = 0; c < n; ++c) y(r, c) = x(r, n - 1 - c);
  }
  Reverse dual() const { return *this; }
};
static_assert(pl::TransformStage<Reverse>);
static_assert(!pl::HasOffset<Reverse> && pl::HasOffset<pl::Shift>);
static_assert(!pl::TransformStage<int> && !pl::TransformStage<std::vector<float>>);
static_assert(pl::TransformStage<pl::BlockDiagonal<pl::Transform<pl::Shift, pl::Dense>>>);

/// Claims to be linear and is not.
struct Liar : Reverse {
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (pl::index r = 0; r < x.rows(); ++r)
      for (pl::index c = 0; c < n; ++c) y(r, c) = x(r, c) - T(1);
  }
};

}  // namespace

TEST_CASE("every elementwise stage keeps the laws at every size") {
  for (const pl::index n : samples::sizes) {
    laws::check(pl::Identity(n), 1);
    laws::check(samples::shift(n, 2), 2);
    laws::check(samples::scale(n, 3), 3);
    laws::check(samples::permutation(n, 4), 4);
    laws::check(Reverse{n}, 5);
  }
}

TEST_CASE("dense stages keep the laws") {
  for (const pl::index n : {1, 2, 6, 7, 9, 12, 63, 64, 65}) {
    laws::check(pl::Rotation::random(n, 6), 6);
    laws::check(pl::Dense::random(n, 7, 20.0), 7);
  }
}

TEST_CASE("Hadamard stages keep the laws at every size that exists") {
  for (const pl::index n : samples::sizes) {
    if (const auto stage = pl::Hadamard::make(n); stage) laws::check(*stage, 8);
    if (const auto stage = pl::Hadamard::make(n, 9); stage) laws::check(*stage, 9);
  }
  for (const pl::index n : {20, 24, 28, 36, 52, 100, 156, 172}) laws::check(*pl::Hadamard::make(n, 10), 10);
}

TEST_CASE("Kronecker stages keep the laws with factors of every kind") {
  for (const pl::index n : samples::sizes) {
    const auto [n1, n2] = pl::kronecker_factors(n);
    CHECK(n1 * n2 == n);
    if (n2 > 65) continue;
    laws::check(pl::Kronecker(pl::Dense::random(n1, 11), pl::Dense::random(n2, 12)), 11);
    laws::check(pl::Kronecker(pl::Identity(n1), pl::Rotation::random(n2, 13)), 12);
    laws::check(pl::Kronecker(pl::Dense::random(n1, 14), pl::Identity(n2)), 13);
    laws::check(pl::Kronecker(samples::permutation(n1, 15), samples::scale(n2, 16)), 14);
    laws::check(pl::Kronecker(pl::Dense::random(n1, 17), Reverse{n2}), 15);
  }
  laws::check(pl::Kronecker(pl::Dense::random(9, 18), *pl::Hadamard::make(64)), 16);
  laws::check(pl::Kronecker(*pl::Hadamard::make(12), pl::Dense::random(48, 19)), 17);
  laws::check(pl::Kronecker(pl::Identity(2), pl::Kronecker(pl::Dense::random(3, 20), pl::Dense::random(4, 21))), 18);
}

TEST_CASE("a Kronecker stage is x (L ⊗ R)") {
  const pl::index n1 = 3, n2 = 5;
  const pl::Dense left = pl::Dense::random(n1, 1), right = pl::Dense::random(n2, 2);
  const auto x = laws::Matrix<double>::random(1, n1 * n2, 3);
  const auto y = laws::apply(pl::Kronecker(left, right), x);
  for (pl::index j1 = 0; j1 < n1; ++j1)
    for (pl::index j2 = 0; j2 < n2; ++j2) {
      double sum = 0.0;
      for (pl::index i1 = 0; i1 < n1; ++i1)
        for (pl::index i2 = 0; i2 < n2; ++i2)
          sum += x(0, i1 * n2 + i2) * left.matrix<double>()[i1 * n1 + j1] * right.matrix<double>()[i2 * n2 + j2];
      CHECK(y(0, j1 * n2 + j2) == doctest::Approx(sum).epsilon(1e-12));
    }
}

TEST_CASE("block diagonal stages keep the laws, blocks of different sizes and with offsets") {
  std::vector<pl::Dense> heads;
  for (const pl::index n : {7, 1, 64, 9}) heads.push_back(pl::Dense::random(n, static_cast<std::uint64_t>(n)));
  laws::check(pl::BlockDiagonal(heads), 1);
  std::vector<pl::Transform<pl::Shift, pl::Dense>> affine;
  for (const pl::Dense& head : heads) affine.emplace_back(samples::shift(head.size(), 3), head);
  laws::check(pl::BlockDiagonal(affine), 2);
  CHECK(pl::BlockDiagonal<pl::Dense>::make({}).status().code() == pl::ErrorCode::invalid_argument);
}

TEST_CASE("compositions keep the laws, and their duals compose in the same order") {
  for (const pl::index n : samples::sizes) {
    const auto [n1, n2] = pl::kronecker_factors(n);
    laws::check_composition(samples::shift(n, 1), samples::scale(n, 2), 3);
    laws::check_composition(samples::scale(n, 4), samples::shift(n, 5), 6);
    laws::check_composition(samples::permutation(n, 7), samples::scale(n, 8), 9);
    if (n2 > 65) continue;
    const pl::Kronecker kronecker(pl::Dense::random(n1, 10), pl::Dense::random(n2, 11));
    laws::check_composition(kronecker, samples::shift(n, 12), 13);
    laws::check(pl::Transform{samples::shift(n, 14), samples::scale(n, 15), kronecker}, 16);
    laws::check_composition(pl::Transform{samples::shift(n, 17), kronecker}, Reverse{n}, 18);
  }
}

TEST_CASE("a Transform deduces its stages") {
  const pl::Dense p1 = pl::Dense::random(2, 1), p2 = pl::Dense::random(3, 2);
  auto flatten = pl::Transform{pl::Scale{std::vector<float>(6, 2.0f)}, pl::Kronecker{p1, p2}};
  static_assert(std::is_same_v<decltype(flatten), pl::Transform<pl::Scale, pl::Kronecker<pl::Dense, pl::Dense>>>);
  static_assert(std::is_same_v<decltype(flatten.dual()), decltype(flatten)>);
  CHECK(flatten.size() == 6);
  const auto mismatch = pl::Transform<pl::Identity, pl::Identity>::make(pl::Identity(3), pl::Identity(4));
  CHECK(mismatch.status().code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("a Dense pair swaps, exactly and back") {
  const pl::Dense a = pl::Dense::random(7, 3, 50.0);
  const pl::Dense back = a.dual().dual();
  CHECK(std::memcmp(a.matrix<double>(), back.matrix<double>(), 49 * sizeof(double)) == 0);
  CHECK(std::memcmp(a.dual().matrix<float>(), a.inverse_transpose<float>(), 49 * sizeof(float)) == 0);
}

TEST_CASE("what a stage saves makes the same stage again") {
  const pl::Rotation q = pl::Rotation::random(12, 5);
  q.for_each_parameter([&](const char* name, std::span<const float> values, pl::index rows, pl::index columns) {
    CHECK(std::strcmp(name, "matrix") == 0);
    CHECK(rows == columns);
    const auto again = pl::Rotation::make(values, rows);
    REQUIRE(again);
    CHECK(std::memcmp(again->matrix<float>(), q.matrix<float>(), values.size_bytes()) == 0);
    laws::check(*again, 1);
  });
}

TEST_CASE("parameters without an inverse are refused") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto code = [](const auto& result) { return result.status().code(); };
  using pl::ErrorCode;
  CHECK(code(pl::Shift::make(std::vector<float>{0.0f, nan})) == ErrorCode::not_finite);
  CHECK(code(pl::Scale::make(std::vector<float>{1.0f, infinity})) == ErrorCode::not_finite);
  CHECK(code(pl::Scale::make(std::vector<float>{1.0f, 0.0f})) == ErrorCode::singular);
  CHECK(code(pl::Scale::make(std::vector<float>{1.0f, 1e-45f})) == ErrorCode::singular);
  CHECK(code(pl::Permutation::make(std::vector<std::int32_t>{0, 2})) == ErrorCode::invalid_argument);
  CHECK(code(pl::Permutation::make(std::vector<std::int32_t>{1, 1})) == ErrorCode::invalid_argument);
  CHECK(code(pl::Permutation::make(std::vector<std::int32_t>{-1, 0})) == ErrorCode::invalid_argument);
  CHECK(code(pl::Dense::make(std::vector<float>{1, 2, 2, 4}, 2)) == ErrorCode::singular);
  CHECK(code(pl::Dense::make(std::vector<float>{1, nan, 2, 4}, 2)) == ErrorCode::not_finite);
  CHECK(code(pl::Dense::make(std::vector<float>{1, 2, 3}, 2)) == ErrorCode::shape_mismatch);
  const std::vector<float> twice{2, 0, 0, 2}, half{0.5f, 0, 0, 0.5f};
  CHECK(pl::Dense::make(twice, half, 2).has_value());
  CHECK(code(pl::Dense::make(twice, twice, 2)) == ErrorCode::invalid_argument);
  CHECK(code(pl::Rotation::make(twice, 2)) == ErrorCode::invalid_argument);
  CHECK(code(pl::Hadamard::with_signs(4, {1, 1, -1, 0})) == ErrorCode::invalid_argument);
  CHECK(code(pl::Hadamard::with_signs(4, {1, 1})) == ErrorCode::shape_mismatch);
}

TEST_CASE("folding says what is missing") {
  laws::Matrix<double> w(2, 3);
  std::vector<double> bias(2);
  CHECK(pl::fold_into_weights(samples::shift(3, 1), w.view()).code() == pl::ErrorCode::shape_mismatch);
  CHECK(pl::fold_into_weights(pl::Identity(4), w.view()).code() == pl::ErrorCode::shape_mismatch);
  CHECK(pl::fold_into_weights(Liar{{3}}, w.view(), bias).code() == pl::ErrorCode::unsupported);
}

TEST_CASE("Kronecker factors are the pair with the least sum, for every n") {
  for (pl::index n = 1; n <= 2000; ++n) {
    const auto [left, right] = pl::kronecker_factors(n);
    REQUIRE(left * right == n);
    REQUIRE(left <= right);
    for (pl::index a = 1; a <= n; ++a)
      if (n % a == 0) REQUIRE(left + right <= a + n / a);
  }
  CHECK(pl::kronecker_factors(14336).left == 112);
  CHECK(pl::kronecker_factors(4096).left == 64);
}

namespace {

/// A stage that needs all of the scratch that it asks for.
struct ReverseByCopy : Reverse {
  pl::index scratch_size(pl::index rows) const { return rows * n; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T> scratch) const {
    REQUIRE(static_cast<pl::index>(scratch.size()) >= scratch_size(x.rows()));
    const pl::MatrixView<T> copy(scratch.data(), x.rows(), n);
    for (pl::index r = 0; r < x.rows(); ++r) std::copy_n(x.row(r), n, copy.row(r));
    Reverse::apply(pl::MatrixView<const T>(copy), y, {});
  }
};

}  // namespace

TEST_CASE("a composition of one stage gives it all of the scratch and takes nothing behind it") {
  const pl::Transform transform(ReverseByCopy{{24}});
  const laws::Matrix<double> x = laws::Matrix<double>::random(3, 24, 5);
  laws::Matrix<double> y(3, 24);
  const auto size = static_cast<std::size_t>(transform.scratch_size(3));
  std::vector<double> scratch(2 * size, 42.0);
  transform.apply(x.view(), y.view(), std::span<double>(scratch).first(size));
  for (std::size_t i = size; i < scratch.size(); ++i) REQUIRE(scratch[i] == 42.0);
  for (pl::index c = 0; c < 24; ++c) CHECK(y(2, c) == x(2, 23 - c));
}
