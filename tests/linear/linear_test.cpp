#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;

namespace {

struct Prepared {
  pl::AnySite site;
  Memory memory;
  pl::QuantizedInput in;

  Prepared(pl::index n, const pl::RowQuantizer& q, pl::SiteMode mode, pl::MatrixView<const float> x)
      : site(made(pl::AnySite::make(pl::AnyTransform::identity(n), q, mode))), memory(site.workspace_size(x.rows())) {
    auto workspace = memory.workspace();
    (void)site.prepare(x, in, workspace);
  }
};

template <class Linear>
Matrix multiply(const Linear& linear, const pl::QuantizedInput& in, pl::ExecutorReference executor = {}) {
  Matrix y(in.rows(), linear.rows());
  Memory memory(linear.workspace_size(in.rows(), executor.workers()));
  const pl::Status status = linear.multiply(in, y.view(), memory.workspace(), executor);
  REQUIRE_MESSAGE(status.ok(), samples::text(status));
  return y;
}

pl::Codes random_codes(pl::index rows, pl::index columns, const pl::WeightScheme& scheme, std::uint64_t seed) {
  const Matrix w(rows, columns, seed, 0.05);
  return made(pl::quantize_weights(w.view(), scheme));
}

const pl::WeightScheme schemes[] = {{.bits = 4},
                                    {.bits = 8},
                                    {.bits = 3, .symmetry = pl::Symmetry::asymmetric},
                                    {.bits = 4, .group_size = 32},
                                    {.bits = 5, .group_size = 7},
                                    {.bits = 8, .symmetry = pl::Symmetry::asymmetric, .group_size = 64}};

const pl::RowQuantizer activations[] = {
    {.bits = 8}, {.bits = 4, .symmetry = pl::Symmetry::asymmetric}, {.bits = 8, .static_scale = 0.03f}, {.bits = 16}};

}  // namespace

TEST_CASE("packed products equal the reference to the bit, whatever the executor") {
  struct Shape {
    pl::index rows, out, n;
  };
  for (const Shape& shape : {Shape{1, 1, 1}, {5, 7, 63}, {1, 65, 576}, {33, 70, 64}, {3, 96, 1536}, {130, 33, 64}})
    for (const auto& scheme : schemes)
      for (const auto& q : activations) {
        const pl::index rows = shape.rows, out = shape.out, n = shape.n;
        INFO(rows << " x " << n << " by " << out << ", w" << scheme.bits << " g" << scheme.group_size << " a"
                  << q.bits);
        const pl::Codes codes = random_codes(out, n, scheme, 3);
        const auto bias = samples::offsets(out, 4);
        const Matrix x(rows, n, 5);
        const Prepared prepared(n, q, pl::SiteMode::packed, x.view());
        const auto linear = made(pl::AnyLinear::make(codes.view(), bias));
        const auto oracle = made(pl::LinearOn<pl::Reference>::make(codes.view(), bias));
        const Matrix expected = multiply(oracle, prepared.in), y = multiply(linear, prepared.in);
        samples::Shuffled executor;
        CHECK(samples::different_bits(y.view(), expected.view()) == 0);
        CHECK(samples::different_bits(multiply(linear, prepared.in, executor).view(), y.view()) == 0);
      }
}

TEST_CASE("simulated and packed layers hold the same weights and sum the same codes") {
  for (const auto& scheme : schemes)
    for (const auto& q : activations) {
      const pl::index rows = 9, out = 40, n = 192;
      INFO("w" << scheme.bits << " g" << scheme.group_size << " a" << q.bits);
      const pl::Codes codes = random_codes(out, n, scheme, 6);
      const Matrix x(rows, n, 7);
      const Prepared real(n, q, pl::SiteMode::packed, x.view()), fake(n, q, pl::SiteMode::fake, x.view());
      const auto packed = made(pl::AnyLinear::make(codes.view()));
      const auto simulated = made(pl::AnyLinear::make(codes.view(), {}, pl::SiteMode::fake));
      CHECK(packed.bits_per_weight() == simulated.bits_per_weight());
      CHECK(packed.size_bytes() == simulated.size_bytes());
      const pl::PackedWeightsView a = packed.packed(), b = simulated.packed();
      pl::index wrong = 0;
      for (pl::index r = 0; r < out; ++r)
        for (pl::index c = 0; c < n; ++c)
          wrong += a.stored(r, c) != b.stored(r, c) || a.value(r, c) != b.value(r, c) ||
                   a.value(r, c) != codes.view().value(r, c);
      CHECK(wrong == 0);
      if (q.bits != 16) {
        CHECK(samples::different_codes(real.in.codes, fake.in.codes) == 0);
        std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * out * a.groups())), others(sums.size());
        const pl::MatrixView<std::int32_t> acc(sums.data(), rows, out * a.groups()),
            other(others.data(), rows, out * a.groups());
        Memory scratch(pl::multiply_scratch_bytes(pl::Cpu{}, rows, n, a.groups()) + 64);
        auto w = scratch.workspace();
        const auto bytes = w.take<std::byte>(static_cast<pl::index>(w.size() / 64 * 64));
        pl::multiply_accumulators(pl::Cpu{}, real.in.codes, a, acc, {0, a.panel_count()}, bytes);
        pl::multiply_accumulators(pl::Reference{}, fake.in.codes, b, other, {0, b.panel_count()}, {});
        CHECK(sums == others);
      }
      const Matrix y = multiply(packed, real.in), z = multiply(simulated, fake.in);
      CHECK(samples::relative_error(z.view(), y.view()) <= 2e-6);
      // A float input to codes, and codes to float weights, work too.
      CHECK(samples::relative_error(multiply(packed, fake.in).view(), y.view()) <= 2e-6);
      CHECK(samples::different_bits(multiply(simulated, real.in).view(), z.view()) == 0);
    }
}

TEST_CASE("float layers are the float64 product, also on an input of codes") {
  const Matrix w(70, 192, 8, 0.05), x(45, 192, 9);
  const auto bias = samples::offsets(70, 10);
  const auto linear = made(pl::AnyLinear::make_float(w.view(), bias));
  const Prepared floats(192, {.bits = 16}, pl::SiteMode::packed, x.view());
  CHECK(samples::relative_error(multiply(linear, floats.in).view(),
                                samples::exact_product(x.view(), w.view(), bias).view()) <= 1e-6);
  const Prepared packed(192, {.bits = 8}, pl::SiteMode::packed, x.view());
  const Prepared fake(192, {.bits = 8}, pl::SiteMode::fake, x.view());
  samples::Shuffled executor;
  CHECK(samples::different_bits(multiply(linear, packed.in, executor).view(), multiply(linear, fake.in).view()) == 0);
}

TEST_CASE("the residual is added last, and may be the output itself") {
  const pl::Codes codes = random_codes(40, 64, {.bits = 4}, 11);
  const Matrix x(6, 64, 12), residual(6, 40, 13);
  const auto linear = made(pl::AnyLinear::make(codes.view()));
  const Prepared prepared(64, {.bits = 8}, pl::SiteMode::packed, x.view());
  const Matrix plain = multiply(linear, prepared.in);
  Matrix y = residual;
  Memory memory(linear.workspace_size(6));
  REQUIRE(linear.multiply(prepared.in, y.view(), memory.workspace(), {}, y.view()).ok());
  for (std::size_t i = 0; i < y.values.size(); ++i) CHECK(y.values[i] == plain.values[i] + residual.values[i]);
}

TEST_CASE("bad rows give rows of NaN, all other rows are right") {
  for (int bits : {16, 8, 4})
    for (auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
      for (int kind : {0, 1, 2}) {
        const Matrix good(9, 64, 14), w(33, 64, 15);
        Matrix x = good;
        x.view()(4, 9) = std::numeric_limits<float>::infinity();
        const Prepared bad(64, {.bits = bits}, mode, x.view()), fine(64, {.bits = bits}, mode, good.view());
        const auto codes = made(pl::quantize_weights(w.view(), {.bits = 4}));
        const auto linear = made(
            kind == 0 ? pl::AnyLinear::make_float(w.view())
                      : pl::AnyLinear::make(codes.view(), {}, kind == 1 ? pl::SiteMode::packed : pl::SiteMode::fake));
        const Matrix y = multiply(linear, bad.in), z = multiply(linear, fine.in);
        for (pl::index r = 0; r < 9; ++r)
          for (pl::index c = 0; c < 33; ++c)
            CHECK((r == 4 ? std::isnan(y.view()(r, c)) : samples::same_bits(y.view()(r, c), z.view()(r, c))));
      }
}

TEST_CASE("no rows, no columns and no bias are fine") {
  const auto linear = made(pl::AnyLinear::make(random_codes(5, 64, {.bits = 4}, 1).view()));
  const Matrix none(0, 64);
  const Prepared prepared(64, {.bits = 8}, pl::SiteMode::packed, none.view());
  CHECK(multiply(linear, prepared.in).values.empty());
  const auto narrow = made(pl::AnyLinear::make(made(pl::Codes::make(3, 0, 4, pl::Symmetry::symmetric)).view(),
                                               std::vector<float>{1.0f, 2.0f, 3.0f}));
  const Matrix flat(2, 0);
  const Prepared nothing(0, {.bits = 8}, pl::SiteMode::packed, flat.view());
  CHECK(multiply(narrow, nothing.in).values == std::vector<float>{1.0f, 2.0f, 3.0f, 1.0f, 2.0f, 3.0f});
}

TEST_CASE("what does not fit is refused") {
  const pl::Codes codes = random_codes(40, 64, {.bits = 4}, 11);
  const auto linear = made(pl::AnyLinear::make(codes.view()));
  const std::vector<float> three(3);
  CHECK(pl::AnyLinear::make(codes.view(), three).status().code() == pl::ErrorCode::shape_mismatch);
  std::vector<float> nan(40, std::numeric_limits<float>::quiet_NaN());
  CHECK(pl::AnyLinear::make(codes.view(), nan).status().code() == pl::ErrorCode::not_finite);
  CHECK(pl::AnyLinear::make_float({nan.data(), 5, 8}).status().code() == pl::ErrorCode::not_finite);
  Matrix x(6, 64, 12), y(6, 40), other(6, 41);
  const Prepared prepared(64, {.bits = 8}, pl::SiteMode::packed, x.view());
  const Prepared floats(64, {.bits = 16}, pl::SiteMode::packed, x.view());
  const Prepared narrow(63, {.bits = 8}, pl::SiteMode::packed, x.view().middle_columns(0, 63));
  Memory memory(linear.workspace_size(6));
  const auto w = memory.workspace();
  CHECK(linear.multiply(narrow.in, y.view(), w).code() == pl::ErrorCode::shape_mismatch);
  CHECK(linear.multiply(prepared.in, other.view(), w).code() == pl::ErrorCode::shape_mismatch);
  CHECK(linear.multiply(prepared.in, y.view(), w, {}, other.view()).code() == pl::ErrorCode::shape_mismatch);
  CHECK(linear.multiply(prepared.in, other.view().transposed().middle_rows(0, 6), w).code() ==
        pl::ErrorCode::shape_mismatch);
  const pl::MatrixView<float> sparse(y.values.data(), 6, 40, 1, 6);
  CHECK(linear.multiply(prepared.in, sparse, w).code() == pl::ErrorCode::unsupported);
  const auto overlap = linear.multiply(floats.in, x.view().middle_columns(10, 40), w);
  CHECK(samples::text(overlap) == "the output overlaps the input");
  const auto bytes = linear.workspace_size(6, 1);
  if (bytes > 64)
    CHECK(linear.multiply(prepared.in, y.view(), pl::Workspace{}).code() == pl::ErrorCode::invalid_argument);
}

TEST_CASE("a layer says what runs and why, and what it stores") {
  const auto text = [](const pl::WeightScheme& scheme, int activation_bits, pl::SiteMode mode) {
    return made(pl::AnyLinear::make(random_codes(8, 64, scheme, 1).view(), {}, mode)).describe(activation_bits);
  };
  const std::string isa = pl::Cpu::name;
#if defined(PLANISH_HAS_AMX_INT8)
  const std::string integers = isa + " (amx is not enabled)";
#else
  const std::string integers = isa;
#endif
  const auto packed = pl::SiteMode::packed;
  CHECK(text({.bits = 4}, 8, packed) == "w4 (nibble panels, per channel) x a8 -> integer GEMM, " + integers);
  CHECK(text({.bits = 4}, 16, packed) == "w4 (nibble panels, per channel) x a16 -> weight-only float GEMM, " + isa);
  CHECK(text({.bits = 5, .group_size = 16}, 4, packed) ==
        "w5 (stored as bytes: no panels between 4 and 8 bits are compiled, groups of 16) x a4 -> integer GEMM, " +
            integers);
  CHECK(text({.bits = 3}, 8, packed) ==
        "w3 (stored as nibbles: no narrower panels are compiled, per channel) x a8 -> integer GEMM, " + integers);
  CHECK(text({.bits = 8, .symmetry = pl::Symmetry::asymmetric}, 8, pl::SiteMode::fake) ==
        "w8 (byte panels, per channel, asymmetric) x a8, simulated: float32 values of the codes -> float GEMM, " + isa);
  CHECK(made(pl::AnyLinear::make(random_codes(8, 64, {.bits = 4, .group_size = 32}, 1).view())).bits_per_weight() ==
        5.0);
  CHECK(made(pl::AnyLinear::make(random_codes(8, 40, {.bits = 4, .symmetry = pl::Symmetry::asymmetric}, 1).view()))
            .bits_per_weight() == 5.0);
  const Matrix w(8, 64, 2);
  CHECK(made(pl::AnyLinear::make_float(w.view())).describe() == "w16 (float32 panels) x a16 -> float GEMM, " + isa);
}

TEST_CASE("work is cut into a few tasks per worker, and not at all when it is little") {
  using pl::detail::split_product;
  CHECK(split_product(1, 18, 576, 2).tasks() == 1);
  CHECK(split_product(1, 48, 576, 1).tasks() == 1);
  CHECK(split_product(1, 48, 576, 2).tasks() == 3);
  CHECK(split_product(512, 48, 576, 2).tasks() == 8);
  CHECK(split_product(512, 2, 576, 4).row_parts == 7);
  CHECK(split_product(40, 1, 100000, 4).row_parts == 1);
  CHECK(split_product(0, 0, 0, 4).tasks() == 1);
}
