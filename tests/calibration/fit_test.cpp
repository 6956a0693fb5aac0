// FlatQuant on one site: what it learns, from rows or from their second moment, and what it refuses.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/backend/enable_amx.hpp>
#include <planish/calibration/methods/flatquant/fit_moment.hpp>
#include <planish/core/random.hpp>
#include <planish/quantizer/weight_scheme.hpp>
#include <planish/transform/fold.hpp>

using namespace planish::calibration;
using planish::ErrorCode;
using planish::MatrixView;

namespace {

/// Input with a loud and a dead channel, two matrices that read it.
struct Site {
  planish::index tokens, channels;
  std::vector<float> x, first, second;
  std::vector<MatrixView<const float>> weights;

  Site(planish::index rows, planish::index columns) : tokens(rows), channels(columns) {
    planish::Random random(3);
    const auto normal = [&](std::vector<float>& values, planish::index count, double size) {
      for (planish::index i = 0; i < count; ++i) values.push_back(static_cast<float>(size * random.normal()));
    };
    normal(x, tokens * channels, 1.0);
    normal(first, 7 * channels, 0.1);
    normal(second, 5 * channels, 0.1);
    for (planish::index t = 0; t < tokens; ++t) {
      x[static_cast<std::size_t>(t * channels + 1)] *= 20.0f;
      x[static_cast<std::size_t>(t * channels + 4)] = 0.0f;
    }
    weights = {{first.data(), 7, channels}, {second.data(), 5, channels}};
  }
  [[nodiscard]] MatrixView<const float> input() const { return {x.data(), tokens, channels}; }
  [[nodiscard]] SecondMoment moment() const {
    SecondMoment made(channels);
    REQUIRE(made.observe(input()).ok());
    return made;
  }
};

}  // namespace

TEST_CASE("both objectives learn on a site of any size") {
  for (const planish::index channels : {12, 18, 30, 7})
    for (const SiteObjective objective : {SiteObjective::weight, SiteObjective::layer}) {
      const Site site(40, channels);
      const auto fit =
          FlatQuant{.epochs = 30}.fit(site.input(), site.weights, {.weights = 4, .activations = 4}, objective);
      REQUIRE(fit.status().ok());
      CHECK(fit->report.loss_after < fit->report.loss_before);
      CHECK(fit->weight_clips.size() == 2);
      CHECK(fit->weight_clips[1].size() == 5);
      CHECK(fit->stages().status().ok());
    }
}

TEST_CASE("rows that stand for a moment have that moment, dead and dependent channels among them") {
  for (const planish::index tokens : {100, 5}) {
    const Site site(tokens, 18);
    const DoubleMatrix exact = site.moment().moment();
    const std::vector<float> rows = detail::rows_of_moment(site.moment());
    const Eigen::Map<const Eigen::Matrix<float, 18, 18, Eigen::RowMajor>> r(rows.data());
    const DoubleMatrix made = r.cast<double>().transpose() * r.cast<double>() / 18.0;
    CHECK((made - exact).cwiseAbs().maxCoeff() < 1e-6 * exact.cwiseAbs().maxCoeff());
  }
}

TEST_CASE("the second moment stands for the rows: the same losses, step by step, until a code rounds the other way") {
  const Site site(200, 18);
  FlatQuant method{.epochs = 4, .rows_per_step = 200, .loss = Loss::mean_squared_error};
  method.learns_scale = false;  // its start reads the largest |x|, which a moment does not know
  const SiteBitwidths bits{.weights = 3, .activations = 16};
  const auto rows = method.fit(site.input(), site.weights, bits);
  const auto moment = method.fit(site.moment(), site.weights, bits);
  REQUIRE(rows.status().ok());
  REQUIRE(moment.status().ok());
  CHECK(moment->report.loss_before == doctest::Approx(rows->report.loss_before).epsilon(1e-4));
  for (std::size_t step = 0; step < 2; ++step)
    CHECK(moment->report.step_losses[step] == doctest::Approx(rows->report.step_losses[step]).epsilon(1e-3));
  CHECK(moment->activation_clips.empty());
}

TEST_CASE("weight-only learning from second moments alone lowers the error of the outputs") {
  const Site site(100, 24);
  const auto fit = FlatQuant{.epochs = 60}.fit(site.moment(), site.weights, {.weights = 3, .activations = 16});
  REQUIRE(fit.status().ok());
  CHECK(fit->report.loss_after < 0.8 * fit->report.loss_before);
}

TEST_CASE("weights that learn lower the error further, from rows and from moments, and lie on their grid") {
  for (const bool from_moment : {false, true}) {
    CAPTURE(from_moment);
    double ratios = 0.0;
    // How far one site comes depends on the order of sums: a code or two more or less.
    const auto sites = {200, 201, 202, 203, 204, 205};
    for (const planish::index tokens : sites) {
      const Site site(tokens, 24);
      const auto fit = [&](const FlatQuant& method, const SiteBitwidths& bits) {
        return from_moment ? method.fit(site.moment(), site.weights, bits)
                           : method.fit(site.input(), site.weights, bits);
      };
      const SiteBitwidths bits{.weights = 3, .activations = 16};
      const auto transforms = fit({.epochs = 40}, bits),
                 learned = fit({.epochs = 40, .weight_epochs = 40, .weight_rate = 0.005}, bits);
      REQUIRE(transforms.status().ok());
      REQUIRE(learned.status().ok());
      CHECK(transforms->weights.empty());
      CHECK(learned->report.loss_after <= transforms->report.loss_after);
      ratios += learned->report.loss_after / transforms->report.loss_after;
      CHECK(learned->report.step_losses.size() == 2 * transforms->report.step_losses.size());
      REQUIRE(learned->weights.size() == 2);
      for (const FlatQuantWeights& w : learned->weights) {
        CHECK(w.columns == 24);
        const MatrixView<const float> view(w.values.data(), w.rows, w.columns);
        const auto codes = planish::quantize_weights(view, {.bits = 3});
        REQUIRE(codes.status().ok());
        for (planish::index r = 0; r < w.rows; ++r)
          for (planish::index c = 0; c < w.columns; ++c)
            CHECK(std::fabs(codes->view().value(r, c) - view(r, c)) <= 1e-6f * std::fabs(view(r, c)));
      }
      const auto kept = fit({.epochs = 2, .weight_epochs = 2}, {.weights = 16, .activations = 16});
      CHECK((!kept || kept->weights.empty()));
    }
    CHECK(ratios / static_cast<double>(sites.size()) < 0.9);
  }
}

TEST_CASE("a centred fit learns more of an input that is half mean, and its stages change no output") {
  Site site(96, 24);
  for (planish::index t = 0; t < site.tokens; ++t)
    for (planish::index c = 0; c < site.channels; ++c)
      site.x[static_cast<std::size_t>(t * site.channels + c)] += c % 3 == 0 ? 2.0f : -1.0f;
  FlatQuant method{.epochs = 40, .rows_per_step = 48};
  const SiteBitwidths bits{.weights = 4, .activations = 4};
  const auto centred = method.fit(site.input(), site.weights, bits);
  method.centres = false;
  const auto plain = method.fit(site.input(), site.weights, bits);
  method.centres = true;
  REQUIRE(plain.status().ok());
  REQUIRE(centred.status().ok());
  CHECK(centred->report.loss_after < 0.8 * plain->report.loss_after);
  CHECK(centred->linear_stages().status().code() == ErrorCode::invalid_argument);
  CHECK(plain->linear_stages().status().ok());
  CHECK(plain->transform.shift.empty());

  for (const auto* fit : {&*plain, &*centred}) {
    const auto stages = fit->stages();
    REQUIRE(stages.status().ok());
    for (const auto& weights : site.weights) {
      std::vector<double> folded(weights.data(), weights.data() + weights.size());
      std::vector<double> bias(static_cast<std::size_t>(weights.rows())), x(site.x.begin(), site.x.end()), turned(x);
      const MatrixView<double> w(folded.data(), weights.rows(), weights.columns());
      REQUIRE(planish::fold_into_weights(*stages, w, std::span<double>(bias)).ok());
      std::vector<double> scratch(static_cast<std::size_t>(stages->scratch_size(site.tokens)));
      stages->apply(MatrixView<const double>(x.data(), site.tokens, site.channels),
                    MatrixView<double>(turned.data(), site.tokens, site.channels), std::span<double>(scratch));
      for (planish::index t = 0; t < site.tokens; ++t)
        for (planish::index o = 0; o < weights.rows(); ++o) {
          double exact = 0.0, made = bias[static_cast<std::size_t>(o)];
          for (planish::index c = 0; c < site.channels; ++c) {
            const auto i = static_cast<std::size_t>(t * site.channels + c);
            exact += x[i] * static_cast<double>(weights(o, c));
            made += turned[i] * w(o, c);
          }
          CHECK(std::fabs(made - exact) < 1e-5);
        }
    }
  }
  method.rows_per_step = 96;
  const auto floats = method.fit(site.input(), site.weights, {.weights = 4, .activations = 16});
  REQUIRE(floats.status().ok());
  CHECK(floats->transform.shift.empty());  // what is not quantized keeps its mean
  site.x[3] = HUGE_VALF;
  CHECK(method.fit(site.input(), site.weights, bits).status().message() ==
        "activation is not finite at row 0, channel 3");
}

TEST_CASE("a fit names what is wrong with its input") {
  const Site site(10, 12);
  const SiteBitwidths weight_only{.weights = 4, .activations = 16};
  const auto code = [](const auto& result) { return result.status().code(); };
  CHECK(code(FlatQuant{}.fit(site.moment(), site.weights, {.weights = 4, .activations = 4})) ==
        ErrorCode::invalid_argument);
  CHECK(code(FlatQuant{}.fit(SecondMoment(12), site.weights, weight_only)) == ErrorCode::invalid_argument);
  CHECK(code(FlatQuant{}.fit(SecondMoment(12), {}, weight_only)) == ErrorCode::invalid_argument);
  const Site other(10, 14);
  CHECK(code(FlatQuant{}.fit(site.moment(), other.weights, weight_only)) == ErrorCode::shape_mismatch);
  CHECK(code(FlatQuant{}.fit(site.input(), other.weights, {})) == ErrorCode::shape_mismatch);
  CHECK(code(FlatQuant{}.fit(site.input(), site.weights, {.weights = 9})) == ErrorCode::invalid_argument);
  CHECK(code(FlatQuant{}.fit(site.input(), site.weights, {.activations = 1})) == ErrorCode::invalid_argument);
  std::vector<float> broken = site.x;
  broken[5] = std::nanf("");
  CHECK(code(FlatQuant{}.fit({broken.data(), 10, 12}, site.weights, {})) == ErrorCode::not_finite);
}

TEST_CASE("products of split bfloat16 learn the same where there are matrix tiles, and are refused elsewhere") {
  const Site site(512, 320);  // of its layers' products, those of 512 x 7 x 320 are large enough
  const FlatQuant whole{.epochs = 10};
  FlatQuant split = whole;
  split.products = Products::split_bfloat16;
  planish::disable_amx();
  const auto refused = split.fit(site.input(), site.weights, {});
  REQUIRE_FALSE(refused.status().ok());
  CHECK(refused.status().code() == ErrorCode::unsupported);
  static_cast<void>(planish::enable_amx());
  if (!tape::can_split_products().ok()) return;
  const auto a = whole.fit(site.input(), site.weights, {}), b = split.fit(site.input(), site.weights, {});
  REQUIRE(a.status().ok());
  REQUIRE(b.status().ok());
  CHECK(b->report.loss_before != a->report.loss_before);
  CHECK(std::fabs(b->report.loss_before / a->report.loss_before - 1.0) < 1e-2);
  CHECK(std::fabs(b->report.loss_after / a->report.loss_after - 1.0) < 0.1);
}

TEST_CASE("products of int16 and int8 learn as well as those of float32") {
  const Site site(512, 320);
  const FlatQuant whole{.epochs = 10};
  const auto a = whole.fit(site.input(), site.weights, {});
  REQUIRE(a.status().ok());
  for (const Products products : {Products::int16, Products::int8}) {
    FlatQuant rounded = whole;
    rounded.products = products;
    const auto b = rounded.fit(site.input(), site.weights, {});
    REQUIRE(b.status().ok());
    CHECK(b->report.loss_before == a->report.loss_before);  // gradients alone are rounded
    CHECK(b->report.loss_after != a->report.loss_after);
    CHECK(std::fabs(b->report.loss_after / a->report.loss_after - 1.0) < 0.1);
  }
}
