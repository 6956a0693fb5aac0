// What FlatQuant learns with, before it has learned anything: starts, sizes, rates.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/calibration/methods/flatquant/learned_linear.hpp>
#include <planish/core/random.hpp>
#include <planish/transform/rotation.hpp>

namespace pl = planish;
using namespace planish::calibration;

namespace {

using pl::index;  // inside a namespace: the C library has a function of this name

TEST_CASE("the start of a scale is the published form, magnitudes and factor at least 1e-5") {
  CHECK(flatquant_scale(0.5f, 8.0f, 0.3) == doctest::Approx(std::pow(0.5, 0.7) / std::pow(8.0, 0.3)));
  CHECK(flatquant_scale(2.0f, 0.5f, 0.0) == doctest::Approx(2.0));
  CHECK(flatquant_scale(2.0f, 0.5f, 1.0) == doctest::Approx(2.0));
  CHECK(flatquant_scale(0.0f, 1.0f, 0.5) == doctest::Approx(std::sqrt(1e-5)));
  CHECK(flatquant_scale(1.0f, 0.0f, 0.5) == doctest::Approx(1.0 / std::sqrt(1e-5)));
  CHECK(flatquant_scale(0.0f, 1e9f, 0.5) == doctest::Approx(1e-5));
}

TEST_CASE("scales of every form start where they are told") {
  const std::vector<float> start{1e-3f, 0.25f, 1.0f, 3.0f, 40.0f};
  for (const ScaleForm form : {ScaleForm::linear, ScaleForm::exponential, ScaleForm::softplus}) {
    CAPTURE(static_cast<int>(form));
    ParameterSet<double> parameters;
    LearnedScale<double> scale(parameters, "c", start, form);
    tape::Tape<double> on;
    const auto c = scale.record(on).value();
    REQUIRE(c.columns() == 5);
    for (index i = 0; i < 5; ++i)
      CHECK(c(0, i) == doctest::Approx(static_cast<double>(start[static_cast<std::size_t>(i)])).epsilon(1e-10));
  }
}

/// P of a factor of order n that has learned nothing.
std::vector<double> start_of(FactorForm form, FactorStart start, index n, std::uint64_t seed) {
  FlatQuant method;
  method.factor_form = form;
  method.factor_start = start;
  ParameterSet<double> parameters;
  LearnedFactor<double> factor(parameters, "P", n, method, seed);
  tape::Tape<double> on;
  const auto made = factor.record(on);
  const auto p = made.matrix.value(), dual = made.inverse_transpose.value();
  double far = 0.0;
  for (index i = 0; i < n; ++i)
    for (index j = 0; j < n; ++j) {
      double sum = i == j ? -1.0 : 0.0;
      for (index k = 0; k < n; ++k) sum += p(i, k) * dual(j, k);
      far = std::max(far, std::fabs(sum));
    }
  CHECK(far < 1e-6);
  return {p.data(), p.data() + n * n};
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double far = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) far = std::max(far, std::fabs(a[i] - b[i]));
  return far;
}

/// Cayley map of the skew part of a Haar rotation's lower triangle.
std::vector<double> partial(index n, std::uint64_t seed) {
  const pl::Array<double> haar = pl::detail::random_orthogonal(n, seed);
  tape::Tape<double> on;
  const auto q = tape::cayley(on.constant({haar.data(), n, n})).value();
  return {q.data(), q.data() + n * n};
}

TEST_CASE(
    "factors of both forms start at the same matrix: the identity, a Hadamard or a Haar rotation, or part of one") {
  constexpr index n = 8;
  std::vector<double> identity(n * n);
  for (std::size_t i = 0; i < n; ++i) identity[i * n + i] = 1.0;
  const pl::Array<double> drawn = pl::detail::random_orthogonal(n, 5);
  const std::vector<double> haar(drawn.begin(), drawn.end());
  for (const FactorForm form : {FactorForm::free, FactorForm::svd}) {
    CAPTURE(static_cast<int>(form));
    CHECK(distance(start_of(form, FactorStart::identity, n, 5), identity) < 1e-12);
    CHECK(distance(start_of(form, FactorStart::haar, n, 5), haar) < 1e-6);
    double wrong = 0.0;
    for (double v : start_of(form, FactorStart::hadamard, n, 5))
      wrong = std::max(wrong, std::fabs(std::fabs(v) - std::sqrt(0.125)));
    CHECK(wrong < 1e-6);
  }
  const std::vector<double> left = partial(n, 5), right = partial(n, 6);
  CHECK(distance(start_of(FactorForm::free, FactorStart::cayley, n, 5), left) < 1e-6);
  std::vector<double> product(n * n);  // of the one and the transpose of the other
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      for (std::size_t k = 0; k < n; ++k) product[i * n + j] += left[i * n + k] * right[j * n + k];
  CHECK(distance(start_of(FactorForm::svd, FactorStart::cayley, n, 5), product) < 1e-12);
}

std::vector<std::string> names_of(const ParameterSet<float>& parameters) {
  std::vector<std::string> names;
  for (const auto& m : parameters.members()) names.push_back(m.name);
  return names;
}

TEST_CASE("a site learns a scale, factors of more than one channel, and clips where its input is quantized") {
  const auto learned = [](const SiteDescription& site, const FlatQuant& method) {
    ParameterSet<float> parameters;
    const LearnedSite<float> made(parameters, site, {}, method, 1);
    std::size_t clips = 0, factors = 0, scales = 0, others = 0;
    for (const std::string& name : names_of(parameters)) {
      if (name.starts_with("s.clip"))
        ++clips;
      else if (name.starts_with("s.left") || name.starts_with("s.right"))
        ++factors;
      else
        ++(name == "s.scale" ? scales : others);
    }
    CHECK(others == 0);
    CHECK((clips > 0) == (made.clip_pairs() > 0));
    return std::vector<std::size_t>{scales, factors, made.clip_pairs()};
  };
  FlatQuant all;
  all.learns_scale = all.learns_transform = all.learns_clip = all.shared_clip = true;
  using Counts = std::vector<std::size_t>;
  CHECK(learned({.name = "s", .left = 2, .right = 4, .activation_bits = 4}, all) == Counts{1, 2, 1});
  CHECK(learned({.name = "s", .left = 1, .right = 4, .activation_bits = 4}, all) == Counts{1, 1, 1});
  CHECK(learned({.name = "s", .left = 4, .right = 1, .activation_bits = 4}, all) == Counts{1, 1, 1});
  CHECK(learned({.name = "s", .left = 1, .right = 1, .activation_bits = 16}, all) == Counts{1, 0, 0});
  CHECK(learned({.name = "s", .left = 2, .right = 4, .activation_bits = 8, .has_scale = false}, all) ==
        Counts{0, 2, 1});
  FlatQuant apart = all;
  apart.shared_clip = false;
  CHECK(learned({.name = "s", .left = 2, .right = 4, .activation_bits = 4, .consumers = 3}, apart) == Counts{1, 2, 3});
  apart.learns_scale = apart.learns_transform = false;
  CHECK(learned({.name = "s", .left = 2, .right = 4, .activation_bits = 4, .consumers = 2}, apart) == Counts{0, 0, 2});
  apart.learns_clip = false;
  CHECK(learned({.name = "s", .left = 2, .right = 4, .activation_bits = 4}, apart) == Counts{0, 0, 0});
}

TEST_CASE("weights that learn start where they are, at a rate of a step of their row's grid") {
  const std::vector<float> weights{3.0f, -1.0f, 0.0f, -7.0f, 2.0f, 1.0f, 0.0f, 0.0f, 0.0f};
  FlatQuant method;
  method.learns_scale = method.learns_transform = method.learns_clip = false;
  for (int bits : {2, 4, 8, 16}) {
    CAPTURE(bits);
    ParameterSet<float> parameters;
    LearnedSite<float> site(parameters, {.name = "s", .left = 3, .right = 1}, {}, method, 1);
    LearnedLinear<float> linear(parameters, "w", {weights.data(), 3, 3}, bits, 0, method);
    tape::Tape<float> on;
    site.record(on);
    linear.learn_weights(parameters, "w", on, site);
    CHECK(linear.learns_weights() == (bits < 16));
    REQUIRE(parameters.members().size() == (bits < 16 ? 1u : 0u));
    if (bits == 16) continue;
    const auto& learned = parameters.members().front();
    const auto steps = static_cast<float>((1 << (bits - 1)) - 1);
    CHECK(learned.values == weights);
    CHECK(learned.row_rates == std::vector<float>{3.0f / steps, 7.0f / steps, 0.0f});
  }
}

TEST_CASE("a layer has clips where its weights are quantized") {
  const std::vector<float> weights(6, 1.0f);
  for (int bits : {8, 16}) {
    ParameterSet<float> parameters;
    FlatQuant method;
    method.learns_clip = true;
    const LearnedLinear<float> linear(parameters, "w", {weights.data(), 2, 3}, bits, 0, method);
    CHECK(parameters.members().empty() == (bits == 16));
  }
}

TEST_CASE("parameters are finite if every value and every gradient is, those with row rates apart") {
  const float nan = std::nanf("");
  ParameterSet<float> parameters;
  auto& a = parameters.add("a", 1, 2, 1.0f);
  auto& b = parameters.add("b", 2, 1, 1.0f);
  CHECK(parameters.all_finite());
  b.values[1] = nan;
  CHECK_FALSE(parameters.all_finite());
  b.values[1] = 1.0f;
  a.gradient[0] = HUGE_VALF;
  CHECK_FALSE(parameters.all_finite());
  a.row_rates = {1.0f};
  CHECK(parameters.all_finite());
  b.gradient[1] = nan;
  CHECK_FALSE(parameters.all_finite());
  const std::vector<float> values = parameters.snapshot();
  CHECK(values == std::vector<float>(4, 1.0f));
  parameters.restore(std::vector<float>{1.0f, 2.0f, 3.0f, 4.0f});
  CHECK(a.values == std::vector<float>{1.0f, 2.0f});
  CHECK(b.values == std::vector<float>{3.0f, 4.0f});
}

}  // namespace
