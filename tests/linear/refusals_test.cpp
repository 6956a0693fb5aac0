// What layers and run-time stages refuse and say, beyond what their laws ask for.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/enable_amx.hpp>
#include <planish/backend/reference.hpp>
#include <planish/linear/any_site.hpp>
#include <planish/linear/quantized_linear.hpp>

namespace pl = planish;
using pl::ErrorCode;

namespace {

/// A stage of the host's that has no name.
struct Unnamed {
  pl::index size() const { return 4; }
  pl::index scratch_size(pl::index) const { return 0; }
  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T>) const {
    for (pl::index r = 0; r < x.rows(); ++r)
      for (pl::index c = 0; c < 4; ++c) y(r, c) = x(r, c);
  }
  Unnamed dual() const { return *this; }
};

std::string message(const pl::Status& status) { return std::string(status.message()); }

}  // namespace

TEST_CASE("AnySite: what it was made of") {
  const auto site = pl::AnySite::make(pl::AnyTransform(*pl::Hadamard::make(8)), {.bits = 5}, pl::SiteMode::fake);
  REQUIRE(site.has_value());
  CHECK(site->size() == 8);
  CHECK(site->online().stage_count() == 1);
  CHECK(site->quantizer().bits == 5);
  CHECK(site->mode() == pl::SiteMode::fake);
  const auto typed = pl::Site<pl::KeepFloat, pl::Hadamard>::make(*pl::Hadamard::make(8));
  CHECK(typed->describe().starts_with("hadamard(8) -> a16 (float32)"));
}

TEST_CASE("stages at run time: heads that nothing splits, weights of other widths, nothing to save") {
  CHECK(pl::AnyStage(*pl::Hadamard::make(8)).split_heads(4).empty());
  const pl::AnyStage heads(pl::Kronecker(pl::Identity(2), pl::Dense::random(4, 1)));
  CHECK(heads.split_heads(4).empty());  // one factor mixes nothing
  std::vector<double> w(16);
  const pl::AnyTransform transform(*pl::Hadamard::make(8));
  CHECK(pl::fold_into_weights(transform, pl::MatrixView<double>(w.data(), 2, 8)).ok());
  CHECK(message(pl::fold_into_weights(transform, pl::MatrixView<double>(w.data(), 4, 4))) ==
        "fold: the transform has 8 channels, the weights 4 columns");
  CHECK(message(pl::AnyStage(Unnamed{}).parameters().status()) ==
        "the stage 'unnamed' cannot be saved: it has no name and for_each_parameter");
}

TEST_CASE("a Kronecker product with a rotation is read from its parameters") {
  const pl::Rotation rotation = pl::Rotation::random(2, 3);
  const pl::Dense dense = pl::Dense::random(3, 4);
  const std::span<const float> left(rotation.matrix<float>(), 4), right(dense.matrix<float>(), 9);
  const std::vector<pl::StageParameter> parameters{{"left.rotation.matrix", {left.begin(), left.end()}, 2, 2},
                                                   {"right", {right.begin(), right.end()}, 3, 3}};
  const auto made = pl::AnyTransform::from("kronecker", parameters);
  REQUIRE_MESSAGE(made.has_value(), message(made.status()));
  CHECK(made->size() == 6);
}

TEST_CASE("a layer refuses a transform of other channels, and a 16-bit residual of another shape") {
  const auto codes = pl::Codes::make(3, 4, 4, pl::Symmetry::symmetric, 4);
  REQUIRE(codes.has_value());
  using Layer = pl::QuantizedLinear<pl::Quantizer<4, pl::PerChannel>, pl::KeepFloat>;
  const auto layer = Layer::from_codes(codes->view(), {}, pl::Identity(5));
  CHECK(message(layer.status()) == "the transform has 5 channels, the weights 4 columns");

  const auto good = Layer::from_codes(codes->view(), {}, pl::Identity(4));
  REQUIRE(good.has_value());
  const std::vector<pl::Half> x(8), residual(6);
  std::vector<pl::Half> y(6);
  std::vector<std::byte> memory(good->workspace_size<pl::Half>(2));
  const pl::Status status =
      good->forward(pl::MatrixView<const pl::Half>(x.data(), 2, 4), pl::MatrixView<pl::Half>(y.data(), 2, 3),
                    pl::Workspace(memory), {}, pl::MatrixView<const pl::Half>(residual.data(), 3, 2));
  CHECK(message(status) == "the residual is 3 x 2, the product 2 x 3");
}

TEST_CASE("describe names the backend, and says which groups tiles take") {
  const auto codes = pl::Codes::make(32, 64, 4, pl::Symmetry::symmetric, 32);
  REQUIRE(codes.has_value());
  CHECK(pl::LinearOn<pl::Reference>::make(codes->view())->describe(8).ends_with("integer GEMM, reference"));
  if (!pl::enable_amx().ok()) return;
  const auto linear = pl::LinearOn<>::make(codes->view());
  CHECK(linear->describe(8).find("(amx takes groups of 64, 128 and further multiples of 64 up to ") !=
        std::string::npos);
  pl::disable_amx();
}
