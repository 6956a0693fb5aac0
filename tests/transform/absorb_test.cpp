// What producers absorb, at the edges: heads of one channel, shapes that one number alone makes wrong, large offsets.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/transform/absorb.hpp>
#include <planish/transform/block_diagonal.hpp>
#include <planish/transform/dense.hpp>
#include <planish/transform/fold.hpp>
#include <planish/transform/kronecker.hpp>

#include "guarded_memory.hpp"
#include "laws/transform_laws.hpp"
#include "transform/samples.hpp"

namespace {

namespace pl = planish;
using laws::Matrix;
using pl::index;

std::string message(const pl::Status& status) { return std::string(status.message()); }

/// x + b e_from(x) e_to: the identity, but one channel reaches another.
pl::Dense leak(index n, index from, index to) {
  std::vector<float> matrix(static_cast<std::size_t>(n * n));
  for (index i = 0; i < n; ++i) matrix[static_cast<std::size_t>(i * n + i)] = 1.0f;
  matrix[static_cast<std::size_t>(from * n + to)] = 0.5f;
  return *pl::Dense::make(matrix, n);
}

/// One scale per block of `size` channels, shared by as many blocks as there are factors.
pl::BlockDiagonal<pl::Scale> scales(const std::vector<float>& factors, index size) {
  std::vector<pl::Scale> blocks;
  for (const float factor : factors) blocks.emplace_back(std::vector<float>(static_cast<std::size_t>(size), factor));
  return pl::BlockDiagonal<pl::Scale>(blocks);
}

TEST_CASE("a map of which one channel reaches another head mixes heads, whichever two channels these are") {
  constexpr index heads = 3, head_size = 3, n = heads * head_size;
  index wrong = 0;
  for (index from = 0; from < n; ++from)
    for (index to = 0; to < n; ++to) {
      if (from / head_size == to / head_size) continue;
      Matrix<double> w(n, 2, 1.0);
      const std::string text = message(pl::absorb_into_values(leak(n, from, to), head_size, w.view()));
      wrong += text.starts_with("absorb: the transform mixes heads of 3 channels") ? 0 : 1;
    }
  CHECK(wrong == 0);
  for (index from = 0; from < head_size; ++from)
    for (index to = 0; to < head_size; ++to) {
      if (from == to) continue;
      const pl::Dense within = leak(head_size, from, to);
      Matrix<double> w(n, 2, 1.0);
      wrong += pl::absorb_into_values(pl::Kronecker(pl::Identity(heads), within), head_size, w.view()).ok() ? 0 : 1;
    }
  CHECK(wrong == 0);
}

TEST_CASE("values have heads of one channel and more, and one row of weights and more") {
  for (const index head_size : {1, 2, 5})
    for (const index kv_heads : {1, 2})
      for (const index group : {1, 3}) {
        INFO("heads of ", head_size, ", ", kv_heads, " of values, each for ", group);
        std::vector<float> factors;
        for (index h = 0; h < kv_heads * group; ++h) factors.push_back(static_cast<float>(h / group + 2));
        Matrix<double> w = Matrix<double>::random(kv_heads * head_size, 3, 5);
        const Matrix<double> before = w;
        REQUIRE(pl::absorb_into_values(scales(factors, head_size), head_size, w.view()).ok());
        index wrong = 0;
        for (index r = 0; r < w.rows(); ++r)
          for (index c = 0; c < 3; ++c)
            wrong += w(r, c) != before(r, c) * static_cast<double>(r / head_size + 2) ? 1 : 0;
        CHECK(wrong == 0);
      }
}

TEST_CASE("shapes of values that one number alone makes wrong are refused") {
  std::vector<double> memory(64, 1.0), bias(5);
  const auto code = [&](index n, index head_size, index rows, std::span<double> b) {
    return pl::absorb_into_values(pl::Identity(n), head_size, pl::MatrixView<double>(memory.data(), rows, 2), b).code();
  };
  using pl::ErrorCode;
  CHECK(code(8, 2, 4, {}) == ErrorCode::ok);
  CHECK(code(8, 0, 4, {}) == ErrorCode::shape_mismatch);
  CHECK(code(8, 2, 0, {}) == ErrorCode::shape_mismatch);
  CHECK(code(8, 3, 4, {}) == ErrorCode::shape_mismatch);
  CHECK(code(10, 2, 4, {}) == ErrorCode::shape_mismatch);
  CHECK(code(8, 2, 4, bias) == ErrorCode::shape_mismatch);
  CHECK(code(8, 2, 4, std::span<double>(bias).first(4)) == ErrorCode::ok);
}

TEST_CASE("query heads differ where they do by more than rounding, whatever the size of the weights") {
  for (const double size : {1e-6, 1.0, 1e6})
    for (const bool differs : {false, true}) {
      INFO("weights of ", size);
      // Two heads of one channel; 1 and 1 + 2^-23 in float are further apart than rounding, equal ones are not.
      Matrix<double> w(1, 2, size);
      const pl::Status status =
          pl::absorb_into_values(scales({1.0f, differs ? 1.0f + 0x1p-23f : 1.0f}, 1), 1, w.view());
      CHECK(status.ok() == !differs);
      if (differs)
        CHECK(message(status) == "absorb: the transform differs between query heads that share one head of values");
    }
}

/// Two heads of one channel that are the same map up to rounding.
struct AlmostAlike {
  [[nodiscard]] index size() const { return 2; }
  [[nodiscard]] index scratch_size(index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (index r = 0; r < x.rows(); ++r) {
      y(r, 0) = x(r, 0);
      y(r, 1) = x(r, 1) * (T(1) + T(0x1p-45));
    }
  }
  [[nodiscard]] AlmostAlike dual() const { return *this; }
};

TEST_CASE("query heads that are alike up to rounding share their head of values") {
  for (const double size : {1e-6, 1.0, 1e6}) {
    INFO("weights of ", size);
    Matrix<double> w(1, 2, size);
    CHECK(pl::absorb_into_values(AlmostAlike{}, 1, w.view()).ok());
  }
}

TEST_CASE("norms absorb offsets far larger than their gains, of both signs") {
  for (const float size : {1.0f, 1e3f, 1e6f, -1e6f})
    for (const index n : {1, 2, 64}) {
      INFO("offsets of ", size, ", n ", n);
      const std::vector<float> offsets(static_cast<std::size_t>(n), size);
      std::vector<double> gain(static_cast<std::size_t>(n), 2.0), bias(static_cast<std::size_t>(n), 1.0);
      const pl::Scale first = samples::scale(n, 3), second = samples::scale(n, 4), third = samples::scale(n, 5);
      const pl::Transform transform{pl::Shift(offsets), first, second, third};  // which rounds in float64
      const pl::Status status = pl::absorb_into_norm(transform, gain, bias);
      REQUIRE_MESSAGE(status.ok(), status.message());
      for (std::size_t c = 0; c < gain.size(); ++c) {
        const double factor = first.exact_factors()[c] * second.exact_factors()[c] * third.exact_factors()[c];
        CHECK(gain[c] == doctest::Approx(2.0 * factor).epsilon(1e-8));
        CHECK(bias[c] == doctest::Approx((1.0 - static_cast<double>(size)) * factor).epsilon(1e-8));
      }
    }
}

TEST_CASE("a norm's bias of another length is refused, also where nothing else is wrong") {
  std::vector<double> gain(4, 1.0), bias(3);
  CHECK(pl::absorb_into_norm(pl::Identity(4), gain, bias).code() == pl::ErrorCode::shape_mismatch);
  Matrix<double> w(4, 2);
  CHECK(pl::absorb_into_producer(pl::Identity(4), w.view(), bias).code() == pl::ErrorCode::shape_mismatch);
  CHECK(pl::absorb_into_norm(pl::Identity(4), gain).ok());
}

TEST_CASE("weights, gains and biases that end at a page's end are all that is touched") {
  for (const index n : {2, 6, 16, 34})
    for (const guarded::Edge edge : guarded::edges) {
      INFO("n ", n);
      const pl::Transform transform{samples::shift(n, 1), samples::scale(n, 2)};
      guarded::Buffer<double> produced(n * 6, edge), bias(n, edge), gain(n, edge), weights(7 * n, edge),
          offsets(7, edge), values(2 * 6, edge), values_bias(2, edge);
      for (double& value : gain.span()) value = 1.0;
      CHECK(pl::absorb_into_producer(transform, pl::MatrixView<double>(produced.data(), n, 6), bias.span()).ok());
      CHECK(pl::absorb_into_norm(transform, gain.span(), bias.span()).ok());
      CHECK(pl::absorb_into_norm(samples::scale(n, 3), gain.span()).ok());
      const pl::MatrixView<double> w(weights.data(), 7, n);
      CHECK(pl::fold_into_weights(transform, w, offsets.span()).ok());
      CHECK(pl::fold_into_weights(samples::shift(n, 4), w, offsets.span()).ok());
      const std::vector<pl::Transform<pl::Shift, pl::Scale>> heads(
          static_cast<std::size_t>(n / 2), pl::Transform{samples::shift(2, 5), samples::scale(2, 6)});
      CHECK(pl::absorb_into_values(pl::BlockDiagonal(heads), 2, pl::MatrixView<double>(values.data(), 2, 6),
                                   values_bias.span())
                .ok());
    }
}

}  // namespace
