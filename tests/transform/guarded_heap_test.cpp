// Stages are made, folded and absorbed within the memory that they ask the heap for.
#include "guarded_heap.hpp"

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/kronecker.hpp>
#include <planish/transform/rotation.hpp>

#include "laws/transform_laws.hpp"
#include "transform/samples.hpp"

#if !defined(SANITIZER_OWNS_HEAP)

namespace {

namespace pl = planish;
using pl::index;

/// The result of `work`, whose blocks of the heap lie before forbidden pages.
template <class Work>
auto guarded_result(const Work& work) {
  const guarded_heap::Scope scope;
  return work();
}

/// What the stage does to rows, to weights behind it and to a producer before it.
template <class S>
bool runs(const S& stage) {
  const index n = stage.size();
  std::vector<double> x(static_cast<std::size_t>(3 * n), 0.5), y(x.size()), bias(3, 1.0),
      produced_bias(static_cast<std::size_t>(n), 1.0);
  std::vector<double> scratch(static_cast<std::size_t>(stage.scratch_size(3)));
  stage.apply(pl::MatrixView<const double>(x.data(), 3, n), pl::MatrixView<double>(y.data(), 3, n),
              std::span<double>(scratch));
  return pl::fold_into_weights(stage, pl::MatrixView<double>(x.data(), 3, n), bias).ok() &&
         pl::absorb_into_producer(stage, pl::MatrixView<double>(y.data(), n, 3), produced_bias).ok();
}

TEST_CASE("memory that ends at a page's end suffices for random and for given matrices") {
  for (const index n : {1, 2, 4, 6, 16}) {
    INFO("n ", n);
    CHECK(guarded_result([&] {
      const pl::Rotation rotation = pl::Rotation::random(n, 1);
      const std::span<const float> given(rotation.matrix<float>(), static_cast<std::size_t>(n * n));
      const pl::Dense dense = pl::Dense::random(n, 2);
      const std::span<const float> one(dense.matrix<float>(), given.size());
      const std::span<const float> other(dense.inverse_transpose<float>(), given.size());
      const auto again = pl::Rotation::make(given, n);
      const auto pair = pl::Dense::make(one, other, n);
      return again && pair && runs(*again) && runs(*pair) && runs(dense.dual());
    }));
  }
}

TEST_CASE("memory that ends at a page's end suffices for Hadamard matrices of every construction") {
  for (const index n : {1, 2, 4, 12, 20, 28, 36, 52, 64, 144, 156, 172, 240}) {
    INFO("n ", n);
    CHECK(guarded_result([&] {
      const auto plain = pl::Hadamard::make(n), with_signs = pl::Hadamard::make(n, 3);
      if (!plain || !with_signs) return false;
      const pl::Hadamard copy = *with_signs;
      return runs(*plain) && runs(copy) && pl::hadamard_base(n == 144 || n == 240 ? 4 : n).has_value();
    }));
  }
  CHECK(guarded_result([] { return pl::kronecker_product(pl::sylvester(1), pl::paley_one(12)).order() == 24; }));
}

TEST_CASE("memory that ends at a page's end suffices for plans of many primes") {
  index n = 1;
  for (int primes = 1; primes <= 19; ++primes) {
    n *= 12;
    if (n > std::numeric_limits<index>::max() / 32) break;
    INFO("n ", n);
    CHECK(guarded_result([&] { return pl::hadamard_factors(n).has_value(); }));
  }
  CHECK(guarded_result([] { return pl::hadamard_factors(29568).has_value() && !pl::hadamard_factors(92); }));
}

TEST_CASE("memory that ends at a page's end suffices for compositions, offsets and heads") {
  for (const index n : {2, 6, 16, 64}) {
    INFO("n ", n);
    CHECK(guarded_result([&] {
      const pl::Transform whole{samples::shift(n, 1), samples::scale(n, 2),
                                pl::Kronecker(pl::Dense::random(2, 3), pl::Dense::random(n / 2, 4))};
      const pl::Transform norm{samples::shift(n, 5), samples::scale(n, 6)};
      const std::vector<pl::Transform<pl::Shift, pl::Scale>> heads(
          2, pl::Transform{samples::shift(n / 2, 7), samples::scale(n / 2, 8)});
      std::vector<double> gain(static_cast<std::size_t>(n), 1.0), bias(gain), w(static_cast<std::size_t>(n * 2)),
          values_bias(static_cast<std::size_t>(n / 2));
      return runs(whole) && runs(norm) && runs(pl::BlockDiagonal(heads)) &&
             pl::absorb_into_norm(norm, gain, bias).ok() &&
             pl::absorb_into_values(pl::BlockDiagonal(heads), n / 2, pl::MatrixView<double>(w.data(), n / 2, 4),
                                    values_bias)
                 .ok() &&
             pl::Permutation::make(samples::permutation(n, 9).sources()).has_value() &&
             pl::Shift::make(samples::shift(n, 9).offsets()).has_value() &&
             pl::Scale::make(samples::scale(n, 9).factors()).has_value();
    }));
  }
}

}  // namespace

#endif
