#include <array>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;
using samples::Memory;

namespace {

pl::AnyTransform flatten(pl::index n, std::uint64_t seed) {
  return pl::AnyTransform(pl::Transform(pl::Shift(samples::offsets(n, seed)), pl::Scale(samples::factors(n, seed + 1)),
                                        samples::random_kronecker(n, seed + 2)));
}

/// Transform all rows, then quantize all rows, by the reference kernels on what the transform's kernels gave.
struct Unfused {
  Matrix flat;
  Memory memory;
  pl::QuantizedRowsSpan codes;

  Unfused(const pl::AnyTransform& transform, const pl::RowQuantizer& q, pl::MatrixView<const float> x)
      : flat(x.rows(), x.columns()),
        memory(pl::quantized_rows_bytes(x.rows(), x.columns(), q.symmetry == pl::Symmetry::asymmetric) + 64) {
    std::vector<float> scratch(static_cast<std::size_t>(transform.scratch_size(x.rows())));
    transform.apply(x, flat.view(), std::span<float>(scratch));
    auto workspace = memory.workspace();
    codes = pl::take_quantized_rows(workspace, x.rows(), x.columns(), q.symmetry == pl::Symmetry::asymmetric);
    pl::kernels::reference::quantize_rows(flat.view(), q, codes);
  }
};

const pl::RowQuantizer quantizers[] = {
    {.bits = 8},
    {.bits = 4, .clip = {0.75f, 0.8f}},
    {.bits = 4, .symmetry = pl::Symmetry::asymmetric},
    {.bits = 2},
    {.bits = 8, .static_scale = 0.05f},
    {.bits = 8, .symmetry = pl::Symmetry::asymmetric, .static_scale = 0.05f, .static_zero_point = 100},
};

}  // namespace

TEST_CASE("a site is its transform and then its quantizer, to the bit, on any executor") {
  for (pl::index n : {1, 7, 63, 64, 65, 576, 1536})
    for (pl::index rows : {0, 1, 5, 33, 70})
      for (const pl::RowQuantizer& q : quantizers) {
        if (n > 64 && rows > 5 && q.bits != 4) continue;
        INFO(n << " channels, " << rows << " rows, " << q.bits << " bits");
        const pl::AnyTransform transform = flatten(n, static_cast<std::uint64_t>(n));
        const Matrix x(rows, n, 5);
        const Unfused expected(transform, q, x.view());
        const auto site = made(pl::AnySite::make(transform, q));
        for (int workers : {1, 3}) {
          Memory memory(site.workspace_size(rows, workers));
          auto workspace = memory.workspace();
          samples::Shuffled executor{workers};
          pl::QuantizedInput in;
          const pl::Status status = site.prepare(x.view(), in, workspace, executor);
          REQUIRE_MESSAGE(status.ok(), samples::text(status));
          CHECK_FALSE(in.is_float());
          CHECK(samples::different_codes(in.codes, expected.codes) == 0);
        }
      }
}

TEST_CASE("rows made where they are read give what a matrix of them gives") {
  for (pl::index n : {1, 65, 576})
    for (pl::index rows : {0, 1, 33})
      for (const auto mode : {pl::SiteMode::packed, pl::SiteMode::fake})
        for (const int bits : {4, 8, 16})
          for (const bool transformed : {false, true}) {
            INFO(n << " channels, " << rows << " rows, " << bits << " bits, transform " << transformed);
            const auto transform = transformed ? flatten(n, 3) : pl::AnyTransform::identity(n);
            const auto site = made(pl::AnySite::make(transform, {.bits = bits}, mode));
            const Matrix x(rows, n, 5), up(rows, n, 6);
            const auto gain = samples::factors(n, 7);
            const auto check = [&](const auto& produced, Matrix matrix) {
              Memory a(site.workspace_size(rows, 3)), b(site.workspace_size(rows));
              auto wa = a.workspace(), wb = b.workspace();
              samples::Shuffled executor;
              pl::QuantizedInput in, expected;
              REQUIRE(site.prepare(produced, in, wa, executor).ok());
              REQUIRE(site.prepare(matrix.view(), expected, wb).ok());
              REQUIRE(in.is_float() == expected.is_float());
              if (bits != 16) CHECK(samples::different_codes(in.codes, expected.codes) == 0);
              if (in.is_float()) CHECK(samples::different_bits(in.values, expected.values) == 0);
            };
            Matrix normed(rows, n), gated(rows, n);
            pl::rms_norm(pl::Reference{}, x.view(), gain.data(), 1e-5f, normed.view());
            pl::swiglu(pl::Reference{}, x.view(), up.view(), gated.view());
            check(pl::RmsNormRows<>(x.view(), gain.data(), 1e-5f), normed);
            check(pl::SwigluRows<>(x.view(), up.view()), gated);
          }
}

TEST_CASE("produced rows of another width or with a NaN are refused as a matrix of them is") {
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), pl::RowQuantizer{.bits = 8}));
  Matrix x(5, 64, 5);
  Memory memory(site.workspace_size(5));
  auto workspace = memory.workspace();
  pl::QuantizedInput in;
  const Matrix narrow(5, 63, 5);
  CHECK(samples::text(site.prepare(pl::SwigluRows<>(narrow.view(), narrow.view()), in, workspace)) ==
        "the site has 64 channels, its input 63");
  x.view()(3, 9) = std::numeric_limits<float>::quiet_NaN();
  CHECK(samples::text(site.prepare(pl::SwigluRows<>(x.view(), x.view()), in, workspace)) ==
        "row 3 of the input holds NaN or infinity");
}

TEST_CASE("simulated sites give the values of the very same codes") {
  for (const pl::RowQuantizer& q : quantizers) {
    const Matrix x(19, 65, 6);
    const auto transform = flatten(65, 9);
    const Unfused expected(transform, q, x.view());
    const auto site = made(pl::AnySite::make(transform, q, pl::SiteMode::fake));
    Memory memory(site.workspace_size(19));
    auto workspace = memory.workspace();
    pl::QuantizedInput in;
    REQUIRE(site.prepare(x.view(), in, workspace).ok());
    REQUIRE(in.is_float());
    CHECK(samples::different_codes(in.codes, expected.codes) == 0);
    Matrix values(19, 65);
    pl::kernels::reference::dequantize_rows(expected.codes, values.view());
    CHECK(samples::different_bits(in.values, values.view()) == 0);
  }
}

TEST_CASE("a static form of a site gives what its run-time twin gives") {
  const Matrix x(21, 64, 7);
  const auto transform = pl::Transform(pl::Scale(samples::factors(64, 1)), made(pl::Hadamard::make(64, 2)));
  using A4 = pl::Quantizer<4, pl::PerToken, pl::Asymmetric>;
  const auto fixed =
      made(pl::Site<A4, std::remove_const_t<decltype(transform)>>::make(transform, {.clip = {0.9f, 0.7f}}));
  const auto reference = made(
      pl::Site<A4, std::remove_const_t<decltype(transform)>, pl::Reference>::make(transform, {.clip = {0.9f, 0.7f}}));
  const auto any = made(pl::AnySite::make(pl::AnyTransform(transform),
                                          {.bits = 4, .symmetry = pl::Symmetry::asymmetric, .clip = {0.9f, 0.7f}}));
  Memory a(fixed.workspace_size(21)), b(any.workspace_size(21)), c(reference.workspace_size(21));
  auto wa = a.workspace(), wb = b.workspace(), wc = c.workspace();
  pl::QuantizedInput in, twin;
  REQUIRE(fixed.prepare(x.view(), in, wa).ok());
  REQUIRE(any.prepare(x.view(), twin, wb).ok());
  CHECK(samples::different_codes(in.codes, twin.codes) == 0);
  CHECK(samples::different_codes(in.codes, reference.prepare(x.view(), wc).codes) == 0);
}

TEST_CASE("rows with NaN or infinity are named, and spoil no other row") {
  const pl::index n = 64, rows = 70;
  for (const bool transformed : {false, true})
    for (const int bits : {16, 8, 4})
      for (const auto mode : {pl::SiteMode::packed, pl::SiteMode::fake}) {
        INFO("bits " << bits << ", transform " << transformed);
        const auto transform = transformed ? flatten(n, 3) : pl::AnyTransform::identity(n);
        const auto site = made(pl::AnySite::make(transform, {.bits = bits}, mode));
        const Matrix good(rows, n, 8);
        Matrix x = good;
        x.view()(17, 5) = std::numeric_limits<float>::infinity();
        x.view()(40, 63) = std::numeric_limits<float>::quiet_NaN();
        x.view()(69, 0) = -std::numeric_limits<float>::infinity();
        Memory a(site.workspace_size(rows, 3)), b(site.workspace_size(rows));
        auto wa = a.workspace(), wb = b.workspace();
        pl::QuantizedInput spoiled, clean;
        samples::Shuffled executor;
        const pl::Status status = site.prepare(x.view(), spoiled, wa, executor);
        CHECK(status.code() == pl::ErrorCode::not_finite);
        CHECK(samples::text(status) == "row 17 of the input holds NaN or infinity");
        REQUIRE(site.prepare(good.view(), clean, wb).ok());
        REQUIRE(spoiled.rows() == rows);
        for (pl::index r = 0; r < rows; ++r) {
          const bool bad = r == 17 || r == 40 || r == 69;
          if (bits != 16) CHECK(std::isnan(spoiled.codes.scales[r]) == bad);
          if (bits != 16 && !bad)
            CHECK(samples::different_codes(spoiled.codes.middle_rows(r, 1), clean.codes.middle_rows(r, 1)) == 0);
          if (spoiled.is_float() && !bad)
            CHECK(samples::different_bits(spoiled.values.middle_rows(r, 1), clean.values.middle_rows(r, 1)) == 0);
          if (spoiled.is_float() && bad)
            for (pl::index c = 0; c < n; ++c) CHECK(std::isnan(spoiled.values(r, c)));
        }
      }
}

TEST_CASE("quantizers of the consumers' own: each gets what a site of its own would give, to the bit") {
  const pl::RowQuantizer own[] = {{.bits = 4, .clip = {0.75f, 0.8f}},
                                  {.bits = 4, .clip = {0.5f, 0.9f}},
                                  {.bits = 4, .clip = {0.75f, 0.8f}},
                                  {.bits = 16},
                                  {.bits = 6, .symmetry = pl::Symmetry::asymmetric},
                                  {.bits = 16, .clip = {0.3f, 0.3f}}};
  for (pl::SiteMode mode : {pl::SiteMode::packed, pl::SiteMode::fake})
    for (std::size_t count : {std::size_t{3}, std::size_t{6}})
      for (pl::index n : {1, 65, 576})
        for (const auto& transform : {pl::AnyTransform::identity(n), flatten(n, 14)})
          for (pl::index rows : {1, 37}) {
            INFO(count << " consumers, " << n << " channels, " << rows << " rows, mode " << static_cast<int>(mode));
            Matrix x(rows, n, 15);
            if (rows > 1) x.view()(20, n / 2) = std::numeric_limits<float>::quiet_NaN();
            const auto site = made(pl::AnySite::make(transform, std::span(own).first(count), mode));
            CHECK(site.inputs() == (count == 3 ? 2 : 4));
            for (int workers : {1, 3}) {
              samples::Shuffled executor{workers};
              Memory memory(site.workspace_size(rows, workers));
              auto workspace = memory.workspace();
              std::vector<pl::QuantizedInput> in(count);
              const pl::Status status = site.prepare(x.view(), in, workspace, executor);
              CHECK(status.ok() == (rows == 1));
              if (rows > 1) CHECK(samples::text(status) == "row 20 of the input holds NaN or infinity");
              for (std::size_t i = 0; i < count; ++i) {
                const auto alone = made(pl::AnySite::make(transform, own[i], mode));
                Memory alone_memory(alone.workspace_size(rows));
                auto alone_workspace = alone_memory.workspace();
                pl::QuantizedInput expected;
                (void)alone.prepare(x.view(), expected, alone_workspace);
                REQUIRE(in[i].is_float() == expected.is_float());
                for (pl::index r = 0; r < rows; ++r) {
                  const bool bad = rows > 1 && r == 20;  // NaN is equal by kind, not by bits
                  if (own[i].bits != 16) {
                    CHECK(std::isnan(in[i].codes.scales[r]) == bad);
                    if (!bad)
                      CHECK(samples::different_codes(in[i].codes.middle_rows(r, 1), expected.codes.middle_rows(r, 1)) ==
                            0);
                  }
                  if (!in[i].is_float()) continue;
                  if (bad)
                    CHECK(std::isnan(in[i].values(r, 0)));
                  else
                    CHECK(samples::different_bits(in[i].values.middle_rows(r, 1), expected.values.middle_rows(r, 1)) ==
                          0);
                }
              }
              CHECK(in[0].codes.codes == in[2].codes.codes);  // equal quantizers share
              CHECK(in[0].codes.codes != in[1].codes.codes);
            }
          }
}

TEST_CASE("a quantizer that all share costs one input and serves any number of consumers") {
  const pl::RowQuantizer same[] = {{.bits = 4, .clip = {0.7f, 0.7f}}, {.bits = 4, .clip = {0.7f, 0.7f}}};
  const auto shared = made(pl::AnySite::make(flatten(96, 3), same)),
             one = made(pl::AnySite::make(flatten(96, 3), same[0]));
  CHECK(shared.inputs() == 1);
  CHECK(shared.workspace_size(40, 2) == one.workspace_size(40, 2));
  CHECK(shared.describe() == one.describe());
  const Matrix x(40, 96, 16);
  for (std::size_t consumers : {1u, 2u, 9u}) {
    Memory memory(one.workspace_size(40));
    auto workspace = memory.workspace();
    std::vector<pl::QuantizedInput> in(consumers);
    REQUIRE(shared.prepare(x.view(), in, workspace).ok());
    CHECK(in.front().codes.codes == in.back().codes.codes);
  }
}

TEST_CASE("the static site does the same, and its linears multiply their own inputs") {
  using A4 = pl::Quantizer<4, pl::PerToken>;
  const pl::index n = 128, rows = 9;
  const auto transform = samples::random_kronecker(n, 31);
  using T = std::remove_const_t<decltype(transform)>;
  const A4 own[] = {A4{.clip = {0.8f, 0.7f}}, A4{.clip = {0.6f, 0.9f}}};
  const auto site = made(pl::Site<A4, T>::make(transform, std::span<const A4>(own)));
  const Matrix x(rows, n, 32), w(40, n, 33, 0.05);
  const auto linear = made(pl::AnyLinear::make_float(w.view()));
  Memory memory(site.workspace_size(rows) + linear.workspace_size(rows));
  auto workspace = memory.workspace();
  std::array<pl::QuantizedInput, 2> in;
  REQUIRE(site.prepare(x.view(), in, workspace).ok());
  for (std::size_t i = 0; i < 2; ++i) {
    const auto alone = made(pl::Site<A4, T>::make(transform, own[i]));
    Memory other(alone.workspace_size(rows) + linear.workspace_size(rows));
    auto other_workspace = other.workspace();
    const auto expected = alone.prepare(x.view(), other_workspace);
    Matrix y(rows, 40), z(rows, 40);
    REQUIRE(linear.multiply(in[i], y.view()).ok());
    REQUIRE(linear.multiply(expected, z.view()).ok());
    CHECK(samples::different_bits(y.view(), z.view()) == 0);
  }
}

TEST_CASE("rows of any stride, also of columns, prepare like their copies") {
  const Matrix wide(80, 90, 9);
  const auto view = wide.view().middle_columns(3, 70).transposed();  // 70 x 80
  Matrix copy(70, 80);
  for (pl::index r = 0; r < 70; ++r)
    for (pl::index c = 0; c < 80; ++c) copy.view()(r, c) = view(r, c);
  for (int bits : {16, 4})
    for (const auto& transform : {pl::AnyTransform::identity(80), flatten(80, 4)}) {
      const auto site = made(pl::AnySite::make(transform, {.bits = bits}));
      Memory a(site.workspace_size(70)), b(site.workspace_size(70));
      auto wa = a.workspace(), wb = b.workspace();
      pl::QuantizedInput strided, dense;
      REQUIRE(site.prepare(view, strided, wa).ok());
      REQUIRE(site.prepare(copy.view(), dense, wb).ok());
      if (bits == 4) CHECK(samples::different_codes(strided.codes, dense.codes) == 0);
      if (bits == 16) CHECK(samples::different_bits(strided.values, dense.values) == 0);
    }
}

TEST_CASE("floats that nothing happens to are not copied") {
  const Matrix x(5, 64, 10);
  const auto site = made(pl::AnySite::make(pl::AnyTransform::identity(64), {.bits = 16}));
  Memory memory(site.workspace_size(5));
  auto workspace = memory.workspace();
  pl::QuantizedInput in;
  REQUIRE(site.prepare(x.view(), in, workspace).ok());
  CHECK(in.values.data() == x.values.data());
}

TEST_CASE("what does not fit is refused") {
  const auto site = made(pl::AnySite::make(flatten(64, 5), {.bits = 8}));
  const Matrix x(5, 63, 11), y(5, 64, 12);
  Memory memory(site.workspace_size(5)), small(site.workspace_size(5) - 200);
  auto workspace = memory.workspace(), little = small.workspace();
  pl::QuantizedInput in;
  CHECK(samples::text(site.prepare(x.view(), in, workspace)) == "the site has 64 channels, its input 63");
  CHECK(site.prepare(y.view(), in, little).code() == pl::ErrorCode::invalid_argument);
  samples::Shuffled more_workers;
  CHECK(site.prepare(y.view(), in, workspace, more_workers).code() == pl::ErrorCode::invalid_argument);

  const auto refused = [](const pl::RowQuantizer& q) {
    return pl::AnySite::make(pl::AnyTransform::identity(4), q).status().code() == pl::ErrorCode::invalid_argument;
  };
  CHECK(refused({.bits = 9}));
  CHECK(refused({.bits = 1}));
  CHECK(refused({.bits = 8, .clip = {0.0f, 1.0f}}));
  CHECK(refused({.bits = 8, .static_scale = -1.0f}));
  CHECK(refused({.bits = 8, .static_scale = std::numeric_limits<float>::quiet_NaN()}));
  CHECK(refused({.bits = 4, .symmetry = pl::Symmetry::asymmetric, .static_scale = 1.0f, .static_zero_point = 16}));
  const std::vector<pl::RowQuantizer> many(9, pl::RowQuantizer{.bits = 8});
  CHECK(samples::text(pl::AnySite::make(pl::AnyTransform::identity(4), many).status()) ==
        "a site has 1 to 8 quantizers, not 9");
  CHECK(!pl::AnySite::make(pl::AnyTransform::identity(4), std::span<const pl::RowQuantizer>{}).has_value());
  const pl::RowQuantizer own[] = {{.bits = 8}, {.bits = 4}};
  const auto two = made(pl::AnySite::make(flatten(64, 5), own));
  Memory two_memory(two.workspace_size(5));
  auto two_workspace = two_memory.workspace();
  CHECK(samples::text(two.prepare(y.view(), in, two_workspace)) ==
        "the site has 2 quantized inputs for 2 consumers, not for 1");
  using PerTensor8 = pl::Quantizer<8, pl::PerTensor>;
  CHECK(pl::Site<PerTensor8, pl::Identity>::make(pl::Identity(4)).status().code() == pl::ErrorCode::unsupported);
  CHECK(pl::Site<PerTensor8, pl::Identity>::make(pl::Identity(4), {.static_scale = 0.1f}).has_value());
}

TEST_CASE("a site says what it does") {
  const auto text = [](const pl::AnyTransform& t, const pl::RowQuantizer& q, pl::SiteMode mode) {
    return made(pl::AnySite::make(t, q, mode)).describe();
  };
  const std::string isa = pl::Cpu::name;
  const pl::AnyTransform scale{pl::Scale({1.0f, 2.0f})};
  CHECK(text(scale, {.bits = 8}, pl::SiteMode::packed) == "scale(2) -> a8 (dynamic per token) -> int8 codes, " + isa);
  CHECK(text(pl::AnyTransform::identity(2), {.bits = 16}, pl::SiteMode::packed) == "a16 (float32), " + isa);
  CHECK(text(scale, {.bits = 4, .static_scale = 1.0f}, pl::SiteMode::fake) ==
        "scale(2) -> a4 (static per tensor) -> float32 values of the codes, simulated, " + isa);
  const auto several = [&](const std::vector<pl::RowQuantizer>& q) {
    return made(pl::AnySite::make(scale, q, pl::SiteMode::fake)).describe();
  };
  CHECK(several({{.bits = 4, .clip = {0.5f, 0.5f}}, {.bits = 4, .clip = {0.6f, 0.5f}}}) ==
        "scale(2) -> 2 quantized inputs for 2 consumers, each a4 (dynamic per token, clipped) -> float32 values of the "
        "codes, simulated, " +
            isa);
  CHECK(
      several({{.bits = 16}, {.bits = 16}, {.bits = 4}}) ==
      "scale(2) -> 2 quantized inputs for 3 consumers, a16 (float32); a4 (dynamic per token) -> float32 values of the "
      "codes, simulated, " +
          isa);
}
