#include <algorithm>
#include <vector>

#include <doctest/doctest.h>

#include "linear/samples.hpp"

namespace pl = planish;
using samples::made;
using samples::Matrix;

namespace {

/// Stages of the host: no name, no kind, nothing optional.
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

std::vector<std::int32_t> reversed(pl::index n) {
  std::vector<std::int32_t> sources;
  for (pl::index i = 0; i < n; ++i) sources.push_back(static_cast<std::int32_t>(n - 1 - i));
  return sources;
}

/// Compositions of everything that a file or a recipe can name, over n = 64 channels.
std::vector<pl::AnyTransform> many_transforms() {
  const pl::index n = 64;
  std::vector<pl::AnyTransform> all;
  const auto add = [&](auto stage) { all.emplace_back(std::move(stage)); };
  add(pl::Identity(n));
  add(pl::Shift(samples::offsets(n, 1)));
  add(pl::Scale(samples::factors(n, 2)));
  add(pl::Permutation(reversed(n)));
  add(made(pl::Hadamard::make(n, 3)));
  add(pl::Rotation::random(n, 4));
  add(pl::Dense::random(n, 5));
  add(samples::random_kronecker(n, 6));
  add(pl::Kronecker(pl::Identity(4), pl::Dense::random(16, 7)));
  add(pl::Kronecker(pl::Dense::random(4, 8), pl::Identity(16)));
  add(pl::Kronecker(made(pl::Hadamard::make(4)), pl::Identity(16)));
  add(pl::Kronecker(pl::Identity(4), made(pl::Hadamard::make(16, 9))));
  add(pl::Kronecker(made(pl::Hadamard::make(8, 10)), pl::Dense::random(8, 11)));
  add(pl::Kronecker(pl::Rotation::random(8, 12), pl::Rotation::random(8, 13)));
  add(pl::BlockDiagonal<pl::Dense>({pl::Dense::random(16, 14), pl::Dense::random(40, 15), pl::Dense::random(8, 16)}));
  add(made(pl::round_to_bfloat16(samples::random_kronecker(n, 23))));
  add(made(pl::round_to_bfloat16(pl::Kronecker(pl::Identity(4), pl::Dense::random(16, 24)))));
  add(made(pl::round_to_bfloat16(pl::Kronecker(pl::Rotation::random(4, 25), pl::Identity(16)))));
  add(Reverse{n});
  add(pl::Transform(pl::Shift(samples::offsets(n, 17)), pl::Scale(samples::factors(n, 18)),
                    made(pl::Hadamard::make(n, 19))));
  add(pl::Transform(pl::Scale(samples::factors(n, 20)),
                    pl::Transform(samples::random_kronecker(n, 21), pl::Shift(samples::offsets(n, 22)))));
  return all;
}

/// `exact`, or what products of bfloat16 may differ by.
double tolerance_of(const pl::AnyTransform& transform, double exact) {
  return transform.describe().find("bfloat16") == std::string::npos ? exact : 5e-3;
}

template <class T>
std::vector<T> apply(const pl::AnyTransform& transform, const std::vector<T>& x, pl::index rows) {
  std::vector<T> y(x.size()), scratch(static_cast<std::size_t>(transform.scratch_size(rows)));
  transform.apply(pl::MatrixView<const T>(x.data(), rows, transform.size()),
                  pl::MatrixView<T>(y.data(), rows, transform.size()), std::span<T>(scratch));
  return y;
}

}  // namespace

TEST_CASE("the law of transforms holds for every stage known at run time, in float64") {
  const Matrix x64(11, 64, 31), w64(9, 64, 32);
  for (const pl::AnyTransform& transform : many_transforms()) {
    INFO(transform.describe());
    std::vector<double> x(x64.values.begin(), x64.values.end()), w(w64.values.begin(), w64.values.end());
    std::vector<double> bias{1, 2, 3, 4, 5, 6, 7, 8, 9};
    const auto flat = apply(transform, x, 11);
    const pl::Status folded = transform.fold_into_weights({w.data(), 9, 64}, bias);
    REQUIRE_MESSAGE(folded.ok(), samples::text(folded));
    double worst = 0.0, largest = 0.0;
    for (std::size_t r = 0; r < 11; ++r)
      for (std::size_t n = 0; n < 9; ++n) {
        double before = static_cast<double>(n + 1), after = bias[n];
        for (std::size_t c = 0; c < 64; ++c) {
          before += x[r * 64 + c] * static_cast<double>(w64.values[n * 64 + c]);
          after += flat[r * 64 + c] * w[n * 64 + c];
        }
        worst = std::fmax(worst, std::fabs(after - before));
        largest = std::fmax(largest, std::fabs(before));
      }
    CHECK(worst <= 1e-10 * largest);
  }
}

TEST_CASE("float rows agree with float64, in place of any row stride and for any number of rows") {
  for (const pl::AnyTransform& transform : many_transforms()) {
    INFO(transform.describe());
    for (pl::index rows : {0, 1, 7, 8, 9, 33}) {
      const Matrix x(rows, 64, 41);
      const auto exact = apply(transform, std::vector<double>(x.values.begin(), x.values.end()), rows);
      Matrix reference(rows, 64), wide(rows, 80);
      for (std::size_t i = 0; i < exact.size(); ++i) reference.values[i] = static_cast<float>(exact[i]);
      std::vector<float> scratch(static_cast<std::size_t>(transform.scratch_size(rows)));
      const pl::MatrixView<float> y = wide.view().middle_columns(3, 64);
      transform.apply(x.view(), y, std::span<float>(scratch));
      CHECK(samples::relative_error(y, reference.view()) <= tolerance_of(transform, 1e-5));
      CHECK(samples::different_bits(y, Matrix(apply(transform, x.values, rows), rows, 64).view()) == 0);
    }
  }
}

TEST_CASE("in bfloat16 every matrix has such products, and what has none stays as it is") {
  const Matrix x(5, 64, 61);
  const auto rounded = [&](const pl::AnyTransform& transform) {
    return Matrix(apply(made(transform.in_bfloat16()), x.values, 5), 5, 64);
  };
  for (const pl::AnyTransform& transform : many_transforms()) {
    INFO(transform.describe());
    CHECK(made(transform.in_bfloat16()).stages().size() == transform.stages().size());
    CHECK(samples::relative_error(rounded(transform).view(), Matrix(apply(transform, x.values, 5), 5, 64).view()) <=
          5e-3);
  }
  const auto same = [&](auto stage, auto expected) {
    const pl::AnyTransform is(std::move(expected));
    CHECK(samples::different_bits(rounded(pl::AnyTransform(std::move(stage))).view(),
                                  Matrix(apply(is, x.values, 5), 5, 64).view()) == 0);
  };
  same(samples::random_kronecker(64, 6), made(pl::round_to_bfloat16(samples::random_kronecker(64, 6))));
  same(pl::Dense::random(64, 5), made(pl::round_to_bfloat16(pl::Kronecker(pl::Identity(1), pl::Dense::random(64, 5)))));
  same(pl::Shift(samples::offsets(64, 1)), pl::Shift(samples::offsets(64, 1)));
  same(made(pl::Hadamard::make(64, 3)), made(pl::Hadamard::make(64, 3)));
  same(Reverse{64}, Reverse{64});
}

TEST_CASE("the dual of the dual is the transform, and copies are independent") {
  for (const pl::AnyTransform& transform : many_transforms()) {
    INFO(transform.describe());
    const bool has_shift = std::any_of(transform.stages().begin(), transform.stages().end(),
                                       [](const pl::AnyStage& s) { return s.get_if<pl::Shift>() != nullptr; });
    if (has_shift) continue;  // the dual keeps the linear part only
    const Matrix x(3, 64, 51);
    pl::AnyTransform copy = transform.clone();
    const pl::AnyTransform twice = copy.dual().dual();
    copy = pl::AnyTransform::identity(64);
    CHECK(samples::relative_error(Matrix(apply(twice, x.values, 3), 3, 64).view(),
                                  Matrix(apply(transform, x.values, 3), 3, 64).view()) <=
          tolerance_of(transform, 1e-6));
  }
}

TEST_CASE("stages that have a name and parameters survive saving") {
  int saved = 0;
  for (const pl::AnyTransform& transform : many_transforms()) {
    INFO(transform.describe());
    pl::AnyTransform loaded = pl::AnyTransform::identity(64);
    const pl::Status status = transform.for_each_stage([&](const char* name, auto parameters) {
      REQUIRE(loaded.append(made(pl::AnyTransform::from(name, parameters))).ok());
    });
    if (transform.stages()[0].get_if<Reverse>() != nullptr) {
      CHECK(samples::text(status) == "the stage 'unnamed' cannot be saved: it has no name and for_each_parameter");
      continue;
    }
    REQUIRE_MESSAGE(status.ok(), samples::text(status));
    ++saved;
    CHECK(loaded.stage_count() == transform.stage_count());
    const Matrix x(5, 64, 61);
    CHECK(samples::different_bits(Matrix(apply(loaded, x.values, 5), 5, 64).view(),
                                  Matrix(apply(transform, x.values, 5), 5, 64).view()) == 0);
  }
  CHECK(saved == 20);
}

TEST_CASE("files name stages of the host by its own registry") {
  pl::StageRegistry registry;
  registry.add("reverse", [](std::span<const pl::StageParameter> all) -> pl::Result<pl::AnyStage> {
    if (all.size() != 1) return pl::Status(pl::ErrorCode::malformed, "reverse: needs a size");
    return pl::AnyStage(Reverse{static_cast<pl::index>(all[0].values[0])});
  });
  const std::vector<pl::StageParameter> size{{"size", {4.0f}, 1, 1}};
  CHECK(made(pl::AnyTransform::from("reverse", size, registry)).size() == 4);
  CHECK(samples::text(pl::AnyTransform::from("reverse", size).status()) == "unknown stage 'reverse'");
  CHECK(samples::text(pl::AnyTransform::from("reverse", {}, registry).status()) == "reverse: needs a size");
}

TEST_CASE("what a file says of a stage is checked") {
  const auto refused = [](const char* name, std::vector<pl::StageParameter> parameters) {
    return samples::text(pl::AnyTransform::from(name, parameters).status());
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(refused("shift", {}) == "shift: the parameter 'offsets' is missing");
  CHECK(refused("scale", {{"factors", {1.0f, 0.0f}, 1, 2}}) != "");
  CHECK(refused("scale", {{"factors", {nan}, 1, 1}}) != "");
  CHECK(refused("identity", {{"size", {2.5f}, 1, 1}}) == "identity: the parameter 'size' is not a size");
  CHECK(refused("identity", {{"size", {nan}, 1, 1}}) == "identity: the parameter 'size' is not a size");
  CHECK(refused("hadamard", {{"size", {-1.0f}, 1, 1}}) == "hadamard: the parameter 'size' is not a size");
  CHECK(refused("permutation", {{"sources", {0.0f, 0.5f}, 1, 2}}) == "permutation: entry 1 is not an index");
  CHECK(refused("permutation", {{"sources", {0.0f, 0.0f}, 1, 2}}) != "");
  CHECK(refused("dense", {{"matrix", {1.0f, 2.0f, 3.0f}, 2, 2}}) != "");
  CHECK(refused("dense", {{"matrix", {1.0f, 1.0f, 1.0f, 1.0f}, 2, 2}}) != "");
  CHECK(refused("kronecker", {{"left", {1.0f}, 1, 1}}) == "kronecker: the parameter 'right' is missing");
  CHECK(refused("block_diagonal", {}) != "");
}

TEST_CASE("split gives a norm the scale, also from behind a shift") {
  const pl::index n = 64;
  const pl::Scale scale(samples::factors(n, 71));
  pl::AnyTransform transform{pl::Transform(pl::Shift(samples::offsets(n, 70)), scale, made(pl::Hadamard::make(n, 72)))};
  const auto parts = transform.split(pl::Producer::norm_gain);
  REQUIRE(parts.absorbed.stage_count() == 1);
  CHECK(parts.absorbed.stages()[0].get_if<pl::Scale>() != nullptr);
  REQUIRE(parts.online.stage_count() == 2);
  CHECK(parts.online.stages()[0].get_if<pl::Shift>() != nullptr);

  const Matrix x(6, n, 73);
  const std::vector<double> rows(x.values.begin(), x.values.end());
  const auto whole = apply(transform, rows, 6), split = apply(parts.online, apply(parts.absorbed, rows, 6), 6);
  for (std::size_t i = 0; i < whole.size(); ++i) CHECK(split[i] == doctest::Approx(whole[i]).epsilon(1e-6));

  CHECK(transform.split(pl::Producer::layer_norm).absorbed.stage_count() == 2);
  CHECK(transform.split(pl::Producer::linear).online.is_identity());
  CHECK(transform.split(pl::Producer::none).absorbed.is_identity());
  CHECK(transform.split(pl::Producer::gated_product).absorbed.stage_count() == 1);
}

TEST_CASE("split stops at the first stage that the producer cannot take") {
  const pl::AnyTransform transform{
      pl::Transform(samples::random_kronecker(64, 80), pl::Scale(samples::factors(64, 81)))};
  CHECK(transform.split(pl::Producer::norm_gain).absorbed.is_identity());
  CHECK(transform.split(pl::Producer::norm_gain).online.stage_count() == 2);
}

TEST_CASE("attention values take the factor within heads, given the head size") {
  const pl::AnyTransform both{pl::Kronecker(pl::Dense::random(4, 90), pl::Dense::random(16, 91))};
  CHECK(both.split(pl::Producer::attention_values).absorbed.is_identity());
  CHECK(both.split(pl::Producer::attention_values, 8).absorbed.is_identity());
  const auto parts = both.split(pl::Producer::attention_values, 16);
  REQUIRE(parts.absorbed.stage_count() == 1);
  REQUIRE(parts.online.stage_count() == 1);
  const Matrix x(3, 64, 92);
  const std::vector<double> rows(x.values.begin(), x.values.end());
  const auto whole = apply(both, rows, 3), split = apply(parts.online, apply(parts.absorbed, rows, 3), 3);
  for (std::size_t i = 0; i < whole.size(); ++i) CHECK(split[i] == doctest::Approx(whole[i]).epsilon(1e-10));
}

TEST_CASE("sequences of other sizes are not appended, and descriptions read left to right") {
  pl::AnyTransform transform{pl::Scale({1.0f, 2.0f})};
  CHECK(transform.append(pl::AnyTransform{pl::Scale({1.0f})}).code() == pl::ErrorCode::shape_mismatch);
  REQUIRE(transform.append(pl::AnyTransform{pl::Kronecker(pl::Identity(2), pl::Dense::random(1, 1))}).ok());
  CHECK(transform.describe() == "scale(2) -> kronecker(identity(2), dense(1))");
  CHECK(pl::AnyTransform::identity(7).describe() == "identity");
  CHECK(pl::AnyTransform().append(transform).ok());
}
