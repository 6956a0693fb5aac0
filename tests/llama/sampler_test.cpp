#include "llama/sampler.hpp"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "llama/error.hpp"

using namespace llama;

namespace {

std::vector<double> frequencies(const SamplerOptions& options, const std::vector<float>& logits, int draws) {
  Sampler sampler(options, 42);
  std::vector<double> counts(logits.size());
  for (int i = 0; i < draws; ++i) counts[static_cast<std::size_t>(sampler.sample(logits))] += 1.0 / draws;
  return counts;
}

}  // namespace

TEST_CASE("temperature 0 takes the likeliest token that is not masked") {
  const std::vector<float> logits{1, 5, 4, 5};
  CHECK(Sampler({.temperature = 0}, 1).sample(logits) == 1);
  CHECK(Sampler({.temperature = 0, .masked = {1}}, 1).sample(logits) == 3);
  CHECK(Sampler({.temperature = 0, .masked = {1, 3, -7, 99}}, 1).sample(logits) == 2);
}

TEST_CASE("the same seed draws the same tokens") {
  const std::vector<float> logits{0.1f, 0.4f, -0.3f, 0.2f, 0.0f};
  const auto draw = [&](std::uint64_t seed) {
    Sampler sampler({}, seed);
    std::vector<int> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.sample(logits));
    return tokens;
  };
  CHECK(draw(7) == draw(7));
  CHECK(draw(7) != draw(8));
}

TEST_CASE("tokens are drawn as often as the model says") {
  const std::vector<float> logits{0.0f, std::log(2.0f), std::log(5.0f)};
  INFO("seed 42");
  const auto counts = frequencies({}, logits, 40000);
  CHECK(counts[0] == doctest::Approx(1.0 / 8).epsilon(0.05));
  CHECK(counts[1] == doctest::Approx(2.0 / 8).epsilon(0.05));
  CHECK(counts[2] == doctest::Approx(5.0 / 8).epsilon(0.05));
  const auto sharp = frequencies({.temperature = 0.5f}, logits, 40000);
  CHECK(sharp[2] == doctest::Approx(25.0 / 30).epsilon(0.05));
  const auto masked = frequencies({.masked = {2}}, logits, 40000);
  CHECK(masked[2] == 0.0);
  CHECK(masked[1] == doctest::Approx(2.0 / 3).epsilon(0.05));
}

TEST_CASE("top-k and top-p cut the tail") {
  const std::vector<float> logits{std::log(1.0f), std::log(6.0f), std::log(1.0f), std::log(2.0f)};
  INFO("seed 42");
  const auto top2 = frequencies({.top_k = 2}, logits, 20000);
  CHECK(top2[0] + top2[2] == 0.0);
  CHECK(top2[1] == doctest::Approx(0.75).epsilon(0.05));
  const auto nucleus = frequencies({.top_p = 0.7f}, logits, 20000);  // 0.6, then 0.2 reaches it
  CHECK(nucleus[0] + nucleus[2] == 0.0);
  CHECK(nucleus[3] == doctest::Approx(0.25).epsilon(0.05));
  CHECK(frequencies({.top_p = 0.5f}, logits, 100)[1] == doctest::Approx(1.0));
  CHECK(frequencies({.top_k = 1}, logits, 100)[1] == doctest::Approx(1.0));
  CHECK(frequencies({.top_k = 100}, logits, 1000)[2] > 0.0);
  const auto both = frequencies({.top_k = 3, .top_p = 0.95f}, logits, 20000);
  CHECK(both[2] == 0.0);  // of equals, the first token stays
  CHECK(both[0] > 0.0);
}

TEST_CASE("a large vocabulary is covered to its last token") {
  std::vector<float> logits(49152, -40.0f);
  logits.back() = 20.0f;
  CHECK(Sampler({}, 3).sample(logits) == 49151);
  CHECK(Sampler({.top_k = 5, .top_p = 0.9f}, 3).sample(logits) == 49151);
}

TEST_CASE("options and logits that cannot be used are refused") {
  CHECK_THROWS_AS(Sampler({.temperature = -1.0f}, 1), Error);
  CHECK_THROWS_AS(Sampler({.temperature = std::numeric_limits<float>::quiet_NaN()}, 1), Error);
  CHECK_THROWS_AS(Sampler({.top_k = -1}, 1), Error);
  CHECK_THROWS_AS(Sampler({.top_p = 0.0f}, 1), Error);
  CHECK_THROWS_AS(Sampler({.top_p = 1.5f}, 1), Error);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(static_cast<void>(Sampler({}, 1).sample(std::vector{1.0f, nan})), doctest::Contains("NaN"),
                       Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(Sampler({.masked = {0, 1}}, 1).sample(std::vector{1.0f, 2.0f})),
                       doctest::Contains("masked"), Error);
  CHECK_THROWS_AS(static_cast<void>(Sampler({}, 1).sample({})), Error);
}
