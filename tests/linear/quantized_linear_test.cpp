#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;

namespace {

using W4 = pl::Quantizer<4, pl::PerChannel>;
using A4 = pl::Quantizer<4, pl::PerToken>;
using W8 = pl::Quantizer<8, pl::PerChannel>;
using A8 = pl::Quantizer<8, pl::PerToken>;

template <class Linear>
Matrix forward(const Linear& linear, const Matrix& x, pl::ExecutorReference executor = {}) {
  Matrix y(x.rows, linear.rows());
  Memory memory(linear.workspace_size(x.rows, executor.workers()));
  const pl::Status status = linear.forward(x.view(), y.view(), memory.workspace(), executor);
  REQUIRE_MESSAGE(status.ok(), samples::text(status));
  return y;
}

/// A stage of the host.
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

auto flatten(pl::index n) {
  return pl::Transform(pl::Shift(samples::offsets(n, 1)), pl::Scale(samples::factors(n, 2)),
                       samples::random_kronecker(n, 3));
}

}  // namespace

TEST_CASE("with quantizers off, a transformed layer is the layer") {
  for (pl::index n : {1, 7, 63, 64, 65, 576}) {
    INFO(n << " channels");
    const Matrix w(37, n, 4, 0.05), x(9, n, 5);
    const auto bias = samples::offsets(37, 6);
    const auto transform = flatten(n);
    using T = std::remove_const_t<decltype(transform)>;
    const auto with_bias = made(pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat, T>::make(w.view(), bias, transform));
    const auto without =
        made(pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat, T, pl::Reference>::make(w.view(), {}, transform));
    CHECK(samples::relative_error(forward(with_bias, x).view(),
                                  samples::exact_product(x.view(), w.view(), bias).view()) <= 1e-4);
    CHECK(samples::relative_error(forward(without, x).view(), samples::exact_product(x.view(), w.view(), {}).view()) <=
          1e-4);
  }
}

TEST_CASE("a fused layer is its parts: fold, quantize, pack, transform, quantize, multiply") {
  const pl::index rows = 41, out = 70, n = 192;
  const Matrix w(out, n, 7, 0.05), x(rows, n, 8);
  const auto bias = samples::offsets(out, 9);
  const auto transform = flatten(n);
  using T = std::remove_const_t<decltype(transform)>;
  using W = pl::Quantizer<4, pl::PerGroup<32>, pl::Asymmetric, pl::MseShrink>;
  const auto linear =
      made(pl::QuantizedLinear<W, A4, T>::make(w.view(), bias, transform, {}, A4{.clip = {0.8f, 0.9f}}));

  std::vector<double> folded(w.values.begin(), w.values.end()), offset(bias.begin(), bias.end());
  REQUIRE(pl::fold_into_weights(transform, pl::MatrixView<double>(folded.data(), out, n), offset).ok());
  const auto codes =
      made(pl::quantize_weights(pl::MatrixView<const double>(folded.data(), out, n),
                                {.bits = 4, .symmetry = pl::Symmetry::asymmetric, .group_size = 32}, pl::MseShrink{}));
  const std::vector<float> cast(offset.begin(), offset.end());
  const auto any = made(pl::AnyLinear::make(codes.view(), cast));
  const auto site = made(pl::AnySite::make(pl::AnyTransform(transform), {.bits = 4, .clip = {0.8f, 0.9f}}));
  Memory memory(site.workspace_size(rows) + any.workspace_size(rows));
  auto workspace = memory.workspace();
  pl::QuantizedInput in;
  REQUIRE(site.prepare(x.view(), in, workspace).ok());
  Matrix expected(rows, out);
  REQUIRE(any.multiply(in, expected.view(), workspace).ok());

  CHECK(samples::different_bits(forward(linear, x).view(), expected.view()) == 0);
  samples::Shuffled executor;
  CHECK(samples::different_bits(forward(linear, x, executor).view(), expected.view()) == 0);
  const auto from_codes =
      made(pl::QuantizedLinear<W, A4, T>::from_codes(codes.view(), cast, transform, A4{.clip = {0.8f, 0.9f}}));
  CHECK(samples::different_bits(forward(from_codes, x).view(), expected.view()) == 0);
  Memory for_parts(linear.site().workspace_size(rows) + linear.linear().workspace_size(rows));
  auto room = for_parts.workspace();
  REQUIRE(linear.site().prepare(x.view(), in, room).ok());
  Matrix by_parts(rows, out);
  REQUIRE(linear.linear().multiply(in, by_parts.view(), room).ok());
  CHECK(samples::different_bits(by_parts.view(), expected.view()) == 0);
  const auto oracle =
      made(pl::QuantizedLinear<W, A4, T, pl::Reference>::make(w.view(), bias, transform, {}, A4{.clip = {0.8f, 0.9f}}));
  CHECK(samples::different_bits(forward(oracle, x).view(), expected.view()) == 0);
}

TEST_CASE("consumers of a site share one input") {
  const pl::index n = 128, rows = 5;
  const auto transform = pl::Transform(pl::Scale(samples::factors(n, 2)), made(pl::Hadamard::make(n, 3)));
  using T = std::remove_const_t<decltype(transform)>;
  const Matrix x(rows, n, 10), wq(64, n, 11, 0.05), wk(32, n, 12, 0.05);
  const auto q = made(pl::QuantizedLinear<W4, A8, T>::make(wq.view(), {}, transform));
  const auto k = made(pl::QuantizedLinear<W4, A8, T>::make(wk.view(), {}, transform));
  const auto site = made(pl::Site<A8, T>::make(transform));
  Memory memory(site.workspace_size(rows) + std::max(q.workspace_size(rows), k.workspace_size(rows)));
  auto workspace = memory.workspace();
  const auto in = site.prepare(x.view(), workspace);
  Matrix yq(rows, 64), yk(rows, 32);
  REQUIRE(q.multiply(in, yq.view()).ok());
  REQUIRE(k.multiply(in, yk.view()).ok());
  CHECK(samples::different_bits(yq.view(), forward(q, x).view()) == 0);
  CHECK(samples::different_bits(yk.view(), forward(k, x).view()) == 0);
}

TEST_CASE("what a norm absorbs leaves the product as it was") {
  const pl::index n = 64, rows = 7;
  const Matrix x(rows, n, 13), w(20, n, 14, 0.05);
  const auto transform = pl::Transform(pl::Scale(samples::factors(n, 15)), samples::random_kronecker(n, 16));
  const auto parts = pl::fold<pl::after_norm_gain>(transform);
  std::vector<double> gain(static_cast<std::size_t>(n), 1.5);
  REQUIRE(pl::absorb_into_norm(parts.absorbed, gain).ok());
  Matrix normed(rows, n), absorbed(rows, n);
  for (pl::index r = 0; r < rows; ++r)
    for (pl::index c = 0; c < n; ++c) {
      normed.view()(r, c) = x.view()(r, c) * 1.5f;
      absorbed.view()(r, c) = x.view()(r, c) * static_cast<float>(gain[static_cast<std::size_t>(c)]);
    }
  const auto folded = made(pl::detail::fold_weights(transform, w.view(), {}));
  using T = std::remove_const_t<decltype(parts.online)>;
  const auto codes = made(made(W8{}.try_quantize(folded.view())).to_codes());
  const auto linear = made(pl::QuantizedLinear<W8, pl::KeepFloat, T>::from_codes(codes.view(), {}, parts.online));
  const auto whole = made(
      pl::QuantizedLinear<W8, pl::KeepFloat, std::remove_const_t<decltype(transform)>>::make(w.view(), {}, transform));
  CHECK(samples::relative_error(forward(linear, absorbed).view(), forward(whole, normed).view()) <= 1e-5);
}

TEST_CASE("weights alone may be quantized, and eight bits are close to float") {
  const Matrix w(40, 128, 17, 0.05), x(6, 128, 18);
  const auto exact = samples::exact_product(x.view(), w.view(), {});
  const auto error = [&](auto linear) { return samples::relative_error(forward(linear, x).view(), exact.view()); };
  const pl::Identity none(128);
  CHECK(error(made(pl::QuantizedLinear<W8, pl::KeepFloat>::make(w.view(), {}, none))) < 0.01);
  CHECK(error(made(pl::QuantizedLinear<W8, A8>::make(w.view(), {}, none))) < 0.02);
  CHECK(error(made(pl::QuantizedLinear<pl::KeepFloat, A8>::make(w.view(), {}, none))) < 0.02);
  CHECK(error(made(pl::QuantizedLinear<W4, pl::KeepFloat>::make(w.view(), {}, none))) < 0.2);
  using PerTensor8 = pl::Quantizer<8, pl::PerTensor>;
  CHECK(error(made(pl::QuantizedLinear<PerTensor8, PerTensor8>::make(w.view(), {}, none, {},
                                                                     PerTensor8{.static_scale = 0.6f}))) < 0.05);
}

TEST_CASE("a stage of the host is a transform like any other") {
  const Matrix w(8, 64, 19, 0.05), x(3, 64, 20);
  const auto linear = made(pl::QuantizedLinear<W8, A8, Reverse>::make(w.view(), {}, Reverse{64}));
  const auto plain = made(pl::QuantizedLinear<W8, A8>::make(w.view(), {}, pl::Identity(64)));
  CHECK(samples::different_bits(forward(linear, x).view(), forward(plain, x).view()) == 0);
}

TEST_CASE("layers refuse what does not fit, and name bad rows") {
  const Matrix w(8, 64, 21, 0.05);
  Matrix x(3, 64, 22), y(3, 8);
  const std::vector<float> bias(7);
  using Linear = pl::QuantizedLinear<W4, A8>;
  CHECK(Linear::make(w.view(), bias, pl::Identity(64)).status().code() == pl::ErrorCode::shape_mismatch);
  CHECK(Linear::make(w.view(), {}, pl::Identity(63)).status().code() == pl::ErrorCode::shape_mismatch);
  CHECK(Linear::make(w.view(), {}, pl::Identity(64), {}, A8{.clip = {0.0f, 1.0f}}).status().code() ==
        pl::ErrorCode::invalid_argument);
  Matrix bad = w;
  bad.view()(2, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK(Linear::make(bad.view(), {}, pl::Identity(64)).status().code() == pl::ErrorCode::not_finite);

  const auto linear = made(Linear::make(w.view(), {}, pl::Identity(64)));
  Memory memory(linear.workspace_size(3));
  const auto workspace = memory.workspace();
  CHECK(linear.forward(x.view(), x.view().middle_columns(0, 8), workspace).code() == pl::ErrorCode::invalid_argument);
  CHECK(linear.forward(x.view(), y.view(), pl::Workspace{}).code() == pl::ErrorCode::invalid_argument);
  x.view()(1, 7) = std::numeric_limits<float>::infinity();
  const pl::Status status = linear.forward(x.view(), y.view(), workspace);
  CHECK(samples::text(status) == "row 1 of the input holds NaN or infinity");
  CHECK(std::isnan(y.view()(1, 0)));
  CHECK(std::isfinite(y.view()(0, 0)));
  CHECK(std::isfinite(y.view()(2, 7)));
  const auto in_one_buffer = [&] {  // two column ranges of one buffer are apart
    Matrix both(3, 72, 23);
    return linear.forward(both.view().middle_columns(0, 64), both.view().middle_columns(64, 8), workspace);
  };
  CHECK(in_one_buffer().ok());
  CHECK(linear.describe() ==
        std::string("a8 (dynamic per token) -> int8 codes, ") + pl::Cpu::name + "; " + linear.linear().describe(8));
}
