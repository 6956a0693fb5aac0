// Activations of 16 bits, in and out: the float32 layer on the widened input, rounded once.
#include <limits>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;
using samples::Shuffled;

namespace {

template <class E>
struct Narrow {
  pl::index rows, columns;
  std::vector<E> values;

  explicit Narrow(const Matrix& m) : rows(m.rows), columns(m.columns) {
    for (float value : m.values) values.push_back(E::from_float(value));
  }
  pl::MatrixView<E> view() { return {values.data(), rows, columns}; }
  pl::MatrixView<const E> view() const { return {values.data(), rows, columns}; }
  Matrix widened() const {
    Matrix m(rows, columns);
    for (std::size_t i = 0; i < values.size(); ++i) m.values[i] = values[i].to_float();
    return m;
  }
};

template <class E>
pl::index different(const Narrow<E>& a, const Narrow<E>& b) {
  pl::index count = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) count += a.values[i].bits != b.values[i].bits ? 1 : 0;
  return count;
}

/// Forward of a layer on `x`, with and without a residual, against float32.
template <class E, class Linear>
void check(const Linear& linear, const Matrix& wide) {
  const Narrow<E> x(wide);
  const Matrix x32 = x.widened();
  const Narrow<E> residual(Matrix(x.rows, linear.rows(), 77));
  const Matrix residual32 = residual.widened();
  Matrix y32(x.rows, linear.rows());
  Memory memory32(linear.workspace_size(x.rows));
  for (const bool adds : {false, true}) {
    const auto status = linear.forward(x32.view(), y32.view(), memory32.workspace(), {},
                                       adds ? residual32.view() : pl::MatrixView<const float>());
    REQUIRE_MESSAGE(status.ok(), samples::text(status));
    const Narrow<E> expected(y32);
    Shuffled shuffled;
    for (const pl::ExecutorReference executor : {pl::ExecutorReference(), pl::ExecutorReference(shuffled)}) {
      Narrow<E> y(Matrix(x.rows, linear.rows()));
      Memory memory(linear.template workspace_size<E>(x.rows, executor.workers()));
      if (adds) y = residual;  // may be the output itself
      const auto narrow = linear.forward(x.view(), y.view(), memory.workspace(), executor,
                                         adds ? std::as_const(y).view() : pl::MatrixView<const E>());
      REQUIRE_MESSAGE(narrow.ok(), samples::text(narrow));
      CHECK(different(y, expected) == 0);
    }
  }
}

using W4 = pl::Quantizer<4, pl::PerChannel>;
using A8 = pl::Quantizer<8, pl::PerToken>;

}  // namespace

TEST_CASE("Half and BFloat16 layers are the float32 layer, rounded once") {
  for (pl::index n : {1, 31, 64, 65})
    for (pl::index rows : {0, 1, 7, 127, 128, 129, 300}) {
      CAPTURE(n);
      CAPTURE(rows);
      const Matrix x(rows, n, 5), w(33, n, 6, 0.1);
      const std::vector<float> bias = samples::offsets(33, 7);
      const auto quantized = made(pl::QuantizedLinear<W4, A8>::make(w.view(), bias, pl::Identity(n)));
      check<pl::Half>(quantized, x);
      check<pl::BFloat16>(quantized, x);
      const auto weight_only = made(pl::QuantizedLinear<W4, pl::KeepFloat>::make(w.view(), {}, pl::Identity(n)));
      check<pl::Half>(weight_only, x);
      check<pl::BFloat16>(weight_only, x);
      const auto transformed = made(pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat, pl::Scale>::make(
          w.view(), bias, pl::Scale(samples::factors(n, 8))));
      check<pl::Half>(transformed, x);
    }
}

TEST_CASE("rows of any stride, and columns, are read where they lie") {
  const Narrow<pl::Half> x(Matrix(64, 48, 9));
  const Matrix w(16, 24, 10);
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(24), {.bits = 8}));
  for (const auto view : {pl::MatrixView<const pl::Half>(x.values.data(), 10, 24, 48, 2),
                          pl::MatrixView<const pl::Half>(x.values.data() + 3, 10, 24, 48, 1)}) {
    Matrix copy(10, 24);
    pl::detail::widen_rows(view, copy.view());
    Memory memory(site.workspace_size(10)), copy_memory(site.workspace_size(10));
    auto workspace = memory.workspace(), copy_workspace = copy_memory.workspace();
    pl::QuantizedInput in, copy_in;
    REQUIRE(site.prepare(view, in, workspace).ok());
    REQUIRE(site.prepare(std::as_const(copy).view(), copy_in, copy_workspace).ok());
    CHECK(samples::different_codes(in.codes, copy_in.codes) == 0);
  }
}

TEST_CASE("bad rows are named and become NaN; results beyond a Half become infinity; misfits are refused") {
  const Matrix w(8, 8, 11);
  const auto linear = made(pl::QuantizedLinear<W4, A8>::make(w.view(), {}, pl::Identity(8)));
  Matrix wide(5, 8, 12);
  wide.values[2 * 8 + 3] = std::numeric_limits<float>::infinity();
  const Narrow<pl::Half> x(wide);
  Narrow<pl::Half> y(Matrix(5, 8));
  Memory memory(linear.workspace_size<pl::Half>(5));
  const pl::Status status = linear.forward(x.view(), y.view(), memory.workspace());
  CHECK(status.code() == pl::ErrorCode::not_finite);
  CHECK(samples::text(status) == "row 2 of the input holds NaN or infinity");
  for (pl::index r = 0; r < 5; ++r)
    for (pl::index c = 0; c < 8; ++c) CHECK(std::isnan(y.view()(r, c).to_float()) == (r == 2));

  const Matrix loud(1, 8, 13, 100.0);
  const auto floats = made(pl::QuantizedLinear<pl::KeepFloat, pl::KeepFloat>::make(
      Matrix(std::vector<float>(8, 1000.0f), 1, 8).view(), {}, pl::Identity(8)));
  Narrow<pl::Half> one(Matrix(1, 1));
  Memory more(floats.workspace_size<pl::Half>(1));
  REQUIRE(floats.forward(Narrow<pl::Half>(loud).view(), one.view(), more.workspace()).ok());
  CHECK(std::isinf(one.values[0].to_float()));

  Narrow<pl::Half> narrow(Matrix(5, 7));
  CHECK(linear.forward(x.view(), narrow.view(), memory.workspace()).code() == pl::ErrorCode::shape_mismatch);
  const auto tall = made(pl::QuantizedLinear<W4, A8>::make(Matrix(2048, 8, 14).view(), {}, pl::Identity(8)));
  Narrow<pl::Half> many(Matrix(128, 2048));
  Memory less(tall.workspace_size(128));
  const pl::Status small = tall.forward(Narrow<pl::Half>(Matrix(128, 8, 15)).view(), many.view(), less.workspace());
  CHECK(small.code() == pl::ErrorCode::invalid_argument);
  CHECK(samples::text(small).find("16-bit outputs of 128 x 2048 need a workspace of") == 0);
}
