// What random matrices are made of, and matrices at the edges of what is refused.
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/dense.hpp>
#include <planish/transform/hadamard.hpp>
#include <planish/transform/permutation.hpp>
#include <planish/transform/rotation.hpp>
#include <planish/transform/shift.hpp>

#include "guarded_memory.hpp"

namespace {

namespace pl = planish;
using pl::index;

TEST_CASE("a random rotation is the orthonormal basis of Gaussian rows, each on its own row's side") {
  for (const index n : {1, 2, 3, 5, 8, 17})
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      pl::Random random(seed);
      const pl::Rotation rotation = pl::Rotation::random(n, seed);
      const double* const q = rotation.matrix<double>();
      index wrong = 0;
      for (index i = 0; i < n; ++i) {
        std::vector<double> drawn(static_cast<std::size_t>(n));
        for (double& value : drawn) value = random.normal();
        for (index j = 0; j < n; ++j) {  // drawn = L q with L lower triangular and a positive diagonal
          double dot = 0.0;
          for (index c = 0; c < n; ++c) dot += drawn[static_cast<std::size_t>(c)] * q[j * n + c];
          wrong += (j == i && !(dot > 0.0)) || (j > i && !(std::fabs(dot) < 1e-9)) ? 1 : 0;
        }
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("Dense::random is U diag(s) V, s falling from the root of the condition to its reciprocal in equal ratios") {
  for (const index n : {1, 2, 3, 5, 8})
    for (const double condition : {1.0, 4.0, 100.0})
      for (const std::uint64_t seed : {1u, 2u, 77u}) {
        const pl::Rotation left = pl::Rotation::random(n, seed), right = pl::Rotation::random(n, ~seed);
        const pl::Dense made = pl::Dense::random(n, seed, condition);
        double worst = 0.0;
        for (index i = 0; i < n; ++i)
          for (index j = 0; j < n; ++j) {
            double sum = 0.0;
            for (index k = 0; k < n; ++k) {
              const double ratio = n == 1 ? 1.0 : std::pow(condition, -1.0 / static_cast<double>(n - 1));
              const double s = (n == 1 ? 1.0 : std::sqrt(condition)) * std::pow(ratio, static_cast<double>(k));
              sum += left.matrix<double>()[i * n + k] * s * right.matrix<double>()[k * n + j];
            }
            worst = std::fmax(worst, std::fabs(sum - made.matrix<double>()[i * n + j]));
          }
        CHECK(worst <= 1e-6 * std::sqrt(condition));
      }
}

TEST_CASE("matrices of one channel are matrices") {
  const std::vector<float> one{1.0f}, minus{-1.0f}, half{0.5f}, two{2.0f};
  CHECK(pl::Rotation::make(one, 1).has_value());
  CHECK(pl::Rotation::make(minus, 1)->matrix<double>()[0] == -1.0);
  CHECK(pl::Dense::make(half, 1)->inverse_transpose<float>()[0] == 2.0f);
  CHECK(pl::Dense::make(half, two, 1).has_value());
  CHECK(pl::Hadamard::make(1, 7).has_value());
  CHECK(pl::Rotation::make(std::span<const float>(), 0).status().code() == pl::ErrorCode::shape_mismatch);
  CHECK(pl::Dense::make(std::vector<float>(), 0).status().code() == pl::ErrorCode::shape_mismatch);
  CHECK(pl::Dense::make(std::span<const float>(), std::span<const float>(), 0).status().code() ==
        pl::ErrorCode::shape_mismatch);
}

TEST_CASE("a pair of equal lengths that are no square is refused") {
  const std::vector<float> three{1, 0, 0};
  const auto made = pl::Dense::make(three, three, 2);
  CHECK(made.status().code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("NaN and infinity are found at every position of a matrix, an offset and a pair") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()})
    for (const index n : {1, 2, 3})
      for (index at = 0; at < n * n; ++at) {
        INFO("n ", n, ", entry ", at);
        std::vector<float> whole(static_cast<std::size_t>(n * n));
        for (index i = 0; i < n; ++i) whole[static_cast<std::size_t>(i * n + i)] = 1.0f;
        std::vector<float> spoiled = whole;
        spoiled[static_cast<std::size_t>(at)] = bad;
        CHECK(pl::Rotation::make(spoiled, n).status().code() == pl::ErrorCode::not_finite);
        CHECK(pl::Dense::make(spoiled, n).status().code() == pl::ErrorCode::not_finite);
        CHECK(pl::Dense::make(spoiled, whole, n).status().code() == pl::ErrorCode::not_finite);
        CHECK(pl::Dense::make(whole, spoiled, n).status().code() == pl::ErrorCode::not_finite);
        const auto shift = pl::Shift::make(spoiled);
        REQUIRE(!shift.has_value());
        CHECK(std::string(shift.status().message()) ==
              "shift: the offset of channel " + std::to_string(at) + " is NaN or infinite");
      }
}

TEST_CASE("a pair may be off by the tolerance, and by no more") {
  const std::vector<float> one{1.0f}, near{1.0f + 0x1p-10f};
  CHECK(pl::Dense::make(one, near, 1, 0x1p-10).has_value());
  CHECK(pl::Dense::make(one, std::vector<float>{1.0f - 0x1p-10f}, 1, 0x1p-10).has_value());
  CHECK(pl::Dense::make(one, std::vector<float>{1.0f + 0x1.1p-10f}, 1, 0x1p-10).status().code() ==
        pl::ErrorCode::invalid_argument);
}

TEST_CASE("a source beyond the last channel is named with the channels that there are") {
  const auto message = [](std::vector<std::int32_t> sources) {
    return std::string(pl::Permutation::make(sources).status().message());
  };
  CHECK(message({0, 1, 3}) == "permutation: entry 2 is 3, outside of 0 .. 2");
  CHECK(message({-1}) == "permutation: entry 0 is -1, outside of 0 .. 0");
  CHECK(message({1, 0, 1}) == "permutation: channel 1 appears twice (entry 2)");
}

TEST_CASE("matrices that end at a page's end are read to their end and no further") {
  for (const index n : {1, 2, 3, 8})
    for (const guarded::Edge edge : guarded::edges) {
      const pl::Rotation rotation = pl::Rotation::random(n, 3);
      const pl::Dense dense = pl::Dense::random(n, 4);
      const auto count = static_cast<std::size_t>(n * n);
      const guarded::Buffer<float> q({rotation.matrix<float>(), count}, edge);
      const guarded::Buffer<float> a({dense.matrix<float>(), count}, edge);
      const guarded::Buffer<float> b({dense.inverse_transpose<float>(), count}, edge);
      CHECK(pl::Rotation::make(q.span(), n).has_value());
      CHECK(pl::Dense::make(std::span<const float>(a.span()), n).has_value());
      CHECK(pl::Dense::make(a.span(), b.span(), n).has_value());
      CHECK(pl::Shift::make(a.span()).has_value());
    }
}

}  // namespace
