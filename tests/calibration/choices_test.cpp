// Every form, start and measure that FlatQuant may learn with, and the published recipe.
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/methods/flatquant/fit.hpp>
#include <planish/core/random.hpp>

using namespace planish::calibration;
using planish::MatrixView;

namespace {

constexpr planish::index tokens = 20, channels = 12, rows = 6;

std::vector<float> normal(planish::index count, std::uint64_t seed, double size) {
  planish::Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(size * random.normal());
  return values;
}

/// Learns on a site of two layers; whatever was chosen, the error does not grow, and the result has its inverse.
void check_learns(const FlatQuant& method) {
  const std::vector<float> x = normal(tokens * channels, 1, 1.0), first = normal(rows * channels, 2, 0.1),
                           second = normal(rows * channels, 3, 0.1);
  const std::vector<MatrixView<const float>> weights{{first.data(), rows, channels}, {second.data(), rows, channels}};
  const auto fit = method.fit({x.data(), tokens, channels}, weights, {.weights = 4, .activations = 4});
  REQUIRE_MESSAGE(fit.status().ok(), fit.status().message());
  CHECK(fit->report.loss_after <= fit->report.loss_before);
  CHECK(fit->stages().status().ok());
  CHECK(fit->activation_clips.size() == (method.shared_clip ? 1u : 2u));
  CHECK(fit->transform.left.empty() == !method.learns_transform);
  CHECK(fit->transform.scale.empty() == !method.learns_scale);
}

}  // namespace

TEST_CASE("factors of every form from every start, scales of every form, every loss") {
  const Loss losses[] = {Loss::mean_squared_error, Loss::mean_absolute_error, Loss::huber};
  std::size_t turn = 0;
  for (const FactorForm form : {FactorForm::free, FactorForm::svd})
    for (const FactorStart start :
         {FactorStart::hadamard, FactorStart::haar, FactorStart::cayley, FactorStart::identity})
      for (const ScaleForm scale : {ScaleForm::linear, ScaleForm::exponential, ScaleForm::softplus}) {
        CAPTURE(static_cast<int>(form));
        CAPTURE(static_cast<int>(start));
        CAPTURE(static_cast<int>(scale));
        FlatQuant method{.epochs = 3, .learning_rate = 1e-3};
        method.factor_form = form;
        method.factor_start = start;
        method.scale_form = scale;
        method.loss = losses[turn++ % 3];
        check_learns(method);
      }
}

TEST_CASE("the published recipe: a clip pair per layer") {
  FlatQuant method = FlatQuant::published();
  CHECK(method.batch == 4);
  CHECK_FALSE(method.centres);
  method.epochs = 3;
  check_learns(method);
}

TEST_CASE("the scale alone") {
  FlatQuant method{.epochs = 3};
  method.learns_transform = false;
  check_learns(method);
}

TEST_CASE("a factor behind the rows of a layer: the identity changes nothing, whether they are clipped or not") {
  const std::vector<float> values = normal(rows * channels, 4, 0.1);
  const std::vector<float> identity{1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (const int bits : {4, 16})
    for (const bool clips : {true, false}) {
      FlatQuant method;
      method.learns_clip = clips;
      ParameterSet<float> parameters;
      LearnedSite<float> site(parameters, {.name = "site", .left = 3, .right = 4}, {}, method, 1);
      LearnedLinear<float> linear(parameters, "layer", {values.data(), rows, channels}, bits, 0, method);
      tape::Tape<float> on;
      site.record(on);
      const auto factor = on.constant({identity.data(), 3, 3});
      const auto plain = linear.record(on, site).value(), turned = linear.record(on, site, &factor).value();
      REQUIRE(turned.rows() == rows);
      for (planish::index r = 0; r < rows; ++r)
        for (planish::index c = 0; c < channels; ++c) CHECK(turned(r, c) == doctest::Approx(plain(r, c)).epsilon(1e-4));
    }
}
