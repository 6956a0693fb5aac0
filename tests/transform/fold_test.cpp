#include <type_traits>
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

namespace {

namespace pl = planish;
using laws::Matrix;
using Kron = pl::Kronecker<pl::Dense, pl::Dense>;
using Heads = pl::Kronecker<pl::Identity, pl::Dense>;

/// fold splits, and the two parts in sequence are the whole.
template <class Tag, class S>
auto split(const S& transform) {
  auto parts = pl::fold<Tag>(transform);
  const auto x = Matrix<double>::random(3, transform.size(), 1);
  CHECK(laws::difference(laws::apply(transform, x), laws::apply(parts.online, laws::apply(parts.absorbed, x))) <
        laws::tolerance);
  return parts;
}

template <class Absorbed, class Online, class Parts>
constexpr bool is_split = std::is_same_v<Parts, pl::Folded<Absorbed, Online>>;

const pl::Dense dense_2 = pl::Dense::random(2, 1), dense_3 = pl::Dense::random(3, 2);

}  // namespace

TEST_CASE("each producer takes the longest prefix that commutes with it") {
  using None = pl::Transform<pl::Identity>;
  const pl::Shift shift = samples::shift(6, 1);
  const pl::Scale scale = samples::scale(6, 2);
  const pl::Permutation permutation = samples::permutation(6, 3);
  const pl::Rotation rotation = pl::Rotation::random(6, 4);
  const Kron kronecker(dense_2, dense_3);
  const Heads heads(pl::Identity(2), dense_3);

  const pl::Transform t{shift, scale, kronecker};
  static_assert(
      is_split<pl::Transform<pl::Shift, pl::Scale>, pl::Transform<Kron>, decltype(split<pl::after_layer_norm>(t))>);
  static_assert(is_split<None, pl::Transform<pl::Shift, pl::Scale, Kron>, decltype(split<pl::after_norm_gain>(t))>);
  static_assert(is_split<pl::Transform<pl::Shift, pl::Scale, Kron>, None, decltype(split<pl::after_linear>(t))>);
  (void)split<pl::after_layer_norm>(t);
  (void)split<pl::after_norm_gain>(t);
  (void)split<pl::after_linear>(t);
  (void)split<pl::after_nothing>(t);

  const pl::Transform u{scale, permutation, rotation};
  static_assert(is_split<pl::Transform<pl::Scale>, pl::Transform<pl::Permutation, pl::Rotation>,
                         decltype(split<pl::after_norm_gain>(u))>);
  static_assert(is_split<pl::Transform<pl::Scale, pl::Permutation>, pl::Transform<pl::Rotation>,
                         decltype(split<pl::after_gated_product>(u))>);
  (void)split<pl::after_gated_product>(u);
  const pl::Transform v{permutation, rotation, scale};
  static_assert(is_split<pl::Transform<pl::Permutation, pl::Rotation>, pl::Transform<pl::Scale>,
                         decltype(split<pl::after_gain_free_norm>(v))>);
  (void)split<pl::after_gain_free_norm>(v);
  const pl::Transform w{heads, kronecker};
  static_assert(is_split<pl::Transform<Heads>, pl::Transform<Kron>, decltype(split<pl::after_attention_values>(w))>);
  (void)split<pl::after_attention_values>(w);
  static_assert(is_split<pl::Transform<pl::Scale>, None, decltype(split<pl::after_norm_gain>(scale))>);
}

TEST_CASE("what a stage declares decides, at run time as well") {
  static_assert(pl::admits(pl::Producer::norm_gain, pl::stage_kind<pl::Scale>));
  static_assert(!pl::admits(pl::Producer::norm_gain, pl::stage_kind<pl::Shift>));
  static_assert(!pl::admits(pl::Producer::norm_gain, pl::stage_kind<Kron>));
  static_assert(pl::admits(pl::Producer::norm_gain, pl::stage_kind<pl::Identity>));
  static_assert(pl::admits(pl::Producer::none, pl::stage_kind<pl::Identity>));
  static_assert(!pl::admits(pl::Producer::none, pl::stage_kind<pl::Scale>));
  static_assert(pl::admits(pl::Producer::gain_free_norm, pl::stage_kind<pl::Kronecker<pl::Rotation, pl::Hadamard>>));
  static_assert(!pl::admits(pl::Producer::gain_free_norm, pl::stage_kind<pl::Kronecker<pl::Rotation, pl::Dense>>));
  static_assert(pl::admits(pl::Producer::attention_values, pl::stage_kind<pl::BlockDiagonal<pl::Shift>>));
  static_assert(!pl::admits(pl::Producer::attention_values, pl::stage_kind<pl::Kronecker<pl::Dense, pl::Identity>>));
  static_assert(pl::stage_kind<pl::Kronecker<pl::Scale, pl::Scale>>.scale);
}

TEST_CASE("linear → linear: the producer absorbs everything, offsets too") {
  for (const pl::index n : {1, 6, 63, 576}) {
    const auto [n1, n2] = pl::kronecker_factors(n);
    const pl::Transform t{samples::shift(n, 1), samples::scale(n, 2),
                          pl::Kronecker(pl::Dense::random(n1, 3), pl::Dense::random(n2, 4))};
    const auto x = Matrix<double>::random(4, 10, 5);
    auto producer = Matrix<double>::random(n, 10, 6), consumer = Matrix<double>::random(7, n, 7);
    std::vector<double> bias(static_cast<std::size_t>(n), 0.25), out_bias(7, -1.0);
    const Matrix<double> expected = laws::linear(laws::linear(x, producer, bias), consumer, out_bias);
    REQUIRE(pl::absorb_into_producer(t, producer.view(), bias).ok());
    REQUIRE(pl::fold_into_weights(t, consumer.view(), out_bias).ok());
    CHECK(laws::difference(expected, laws::linear(laws::linear(x, producer, bias), consumer, out_bias)) < 1e-10);
  }
  Matrix<double> w(6, 3);
  CHECK(pl::absorb_into_producer(samples::shift(6, 1), w.view()).code() == pl::ErrorCode::unsupported);
  CHECK(pl::absorb_into_producer(samples::scale(5, 1), w.view()).code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("norms absorb Shift and Scale, and nothing that mixes channels") {
  const pl::index n = 63;
  const pl::Transform t{samples::shift(n, 1), samples::scale(n, 2)};
  const auto x = Matrix<double>::random(4, n, 3);
  std::vector<double> gain(n, 0.5), bias(n, 0.1);
  const auto norm = [&] {
    Matrix<double> y(4, n);
    for (pl::index r = 0; r < 4; ++r)
      for (pl::index c = 0; c < n; ++c)
        y(r, c) = x(r, c) * gain[static_cast<std::size_t>(c)] + bias[static_cast<std::size_t>(c)];
    return y;
  };
  const Matrix<double> expected = laws::apply(t, norm());
  REQUIRE(pl::absorb_into_norm(t, gain, bias).ok());
  CHECK(laws::difference(expected, norm()) < 1e-12);
  CHECK(pl::absorb_into_norm(samples::shift(n, 1), gain).code() == pl::ErrorCode::unsupported);
  CHECK(pl::absorb_into_norm(pl::Rotation::random(n, 1), gain, bias).code() == pl::ErrorCode::unsupported);
  CHECK(pl::absorb_into_norm(samples::permutation(n, 1), gain, bias).code() == pl::ErrorCode::unsupported);
  CHECK(pl::absorb_into_norm(samples::scale(3, 1), gain).code() == pl::ErrorCode::shape_mismatch);
}

TEST_CASE("a gated product lets Scale through the up rows and Permutation through both") {
  const pl::index n = 12;
  const pl::Scale scale = samples::scale(n, 1);
  const pl::Permutation permutation = samples::permutation(n, 2);
  const auto x = Matrix<double>::random(3, 5, 3);
  auto gate = Matrix<double>::random(n, 5, 4), up = Matrix<double>::random(n, 5, 5);
  const std::vector<double> none(n, 0.0);
  const auto product = [&] {
    Matrix<double> g = laws::linear(x, gate, none), u = laws::linear(x, up, none);
    for (pl::index r = 0; r < 3; ++r)
      for (pl::index c = 0; c < n; ++c) u(r, c) *= g(r, c) / (1.0 + std::exp(-g(r, c)));
    return u;
  };
  const Matrix<double> expected = laws::apply(pl::Transform{scale, permutation}, product());
  REQUIRE(pl::absorb_into_producer(pl::Transform{scale, permutation}, up.view()).ok());
  REQUIRE(pl::absorb_into_producer(permutation, gate.view()).ok());
  CHECK(laws::difference(expected, product()) < 1e-12);
}

TEST_CASE("values of grouped attention absorb maps within heads") {
  const pl::index head = 4, query_heads = 6, kv_heads = 2, group = 3;
  const auto tokens = Matrix<double>::random(5, 7, 1);
  auto w = Matrix<double>::random(kv_heads * head, 7, 2);
  std::vector<double> bias(static_cast<std::size_t>(kv_heads * head), 0.5);
  Matrix<double> weights = Matrix<double>::random(query_heads, 5, 3);  // attention of one query, rows sum to 1
  for (pl::index h = 0; h < query_heads; ++h) {
    double sum = 0.0;
    for (pl::index t = 0; t < 5; ++t) sum += weights(h, t) = std::exp(weights(h, t));
    for (pl::index t = 0; t < 5; ++t) weights(h, t) /= sum;
  }
  const auto attend = [&] {
    const Matrix<double> v = laws::linear(tokens, w, bias);
    Matrix<double> y(1, query_heads * head);
    for (pl::index h = 0; h < query_heads; ++h)
      for (pl::index c = 0; c < head; ++c)
        for (pl::index t = 0; t < 5; ++t) y(0, h * head + c) += weights(h, t) * v(t, h / group * head + c);
    return y;
  };
  const auto check = [&](const auto& transform) {
    const Matrix<double> expected = laws::apply(transform, attend());
    const pl::Status status = pl::absorb_into_values(transform, head, w.view(), bias);
    REQUIRE_MESSAGE(status.ok(), status.message());
    CHECK(laws::difference(expected, attend()) < 1e-12);
  };
  check(pl::Kronecker(pl::Identity(query_heads), pl::Dense::random(head, 4)));
  std::vector<pl::Transform<pl::Shift, pl::Dense>> blocks;
  for (pl::index h = 0; h < query_heads; ++h) {
    const auto seed = static_cast<std::uint64_t>(h / group);
    blocks.emplace_back(samples::shift(head, seed), pl::Dense::random(head, seed));
  }
  check(pl::BlockDiagonal(blocks));

  std::swap(blocks[1], blocks[4]);
  const auto code = [&](const auto& transform) {
    return pl::absorb_into_values(transform, head, w.view(), bias).code();
  };
  CHECK(code(pl::BlockDiagonal(blocks)) == pl::ErrorCode::unsupported);
  CHECK(code(pl::Kronecker(pl::Dense::random(query_heads, 1), pl::Identity(head))) == pl::ErrorCode::unsupported);
  CHECK(code(samples::scale(query_heads * head, 1)) == pl::ErrorCode::unsupported);
  CHECK(code(pl::Identity(7)) == pl::ErrorCode::shape_mismatch);
}
