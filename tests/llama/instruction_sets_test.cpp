// What a whole model's integer paths compute is the same on every instruction set: the figures below were made on one
// of them and hold on all, with g++ and clang. Codes and scales of weights are equal to the bit; float sums may end in
// other last bits with and without fused multiply-adds, so predictions are compared, and logits within a tolerance.
#include <cmath>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

/// FNV-1a over bytes.
class Hash {
 public:
  void add(const void* data, std::size_t bytes) noexcept {
    for (std::size_t i = 0; i < bytes; ++i) value_ = (value_ ^ static_cast<const unsigned char*>(data)[i]) * prime;
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

 private:
  static constexpr std::uint64_t prime = 1099511628211u;
  std::uint64_t value_ = 14695981039346656037u;
};

/// Of all codes, scales and zero points of the quantized matrices.
std::uint64_t hash_of_codes(const WeightSource& source, const std::string& recipe) {
  Hash hash;
  for (index layer = 0; layer < source.config().layers; ++layer) {
    const BlockParameters block = build_layer(source, layer, {.recipe = require(parse_recipe(recipe))}, {}, {});
    for (const LinearParameters& linear : block.linears) {
      const planish::CodesView codes = linear.codes.value().view();
      hash.add(codes.codes, static_cast<std::size_t>(codes.rows * codes.columns));
      hash.add(codes.scales, static_cast<std::size_t>(codes.rows * codes.groups()) * sizeof(float));
    }
  }
  return hash.value();
}

struct Expected {
  const char* recipe;
  std::uint64_t codes;
  std::uint64_t predictions;  // the token of the largest logit after each of 37
  double mean_magnitude;      // of the logits
};

TEST_CASE("codes of a model, and what it predicts with them, on every instruction set") {
  const auto source = std::make_shared<RandomModel>(7, RotaryPairs::halves);
  const index vocabulary = source->config().vocabulary;
  const std::vector<int> ids = random_ids(11, 37, vocabulary);
  for (const Expected& expected :
       {Expected{"w8a8", 18321545211955626258u, 17004348529830537095u, 5.62568},
        Expected{"w4a8", 916639299011012115u, 10583648646222312714u, 5.5784},
        Expected{"w4a4kv4+hadamard", 12147163099245204863u, 4882626043225440216u, 5.67121},
        Expected{"w3a8kv4g8+hadamard+mse", 10789793190952947125u, 18426492865617979644u, 5.6639},
        Expected{"w4a8kv4+q8p8", 916639299011012115u, 9934768751341163449u, 5.60753}}) {
    CAPTURE(std::string(expected.recipe));
    CHECK(hash_of_codes(*source, expected.recipe) == expected.codes);
    const std::vector<float> logits = logits_of(model_of(source, expected.recipe), ids, 37);
    Hash predictions;
    double magnitude = 0.0;
    for (std::size_t at = 0; at < logits.size(); at += static_cast<std::size_t>(vocabulary)) {
      int best = 0;
      for (int id = 0; id < vocabulary; ++id) {
        const float logit = logits[at + static_cast<std::size_t>(id)];
        if (logit > logits[at + static_cast<std::size_t>(best)]) best = id;
        magnitude += std::fabs(static_cast<double>(logit));
      }
      predictions.add(&best, sizeof best);
    }
    CHECK(predictions.value() == expected.predictions);
    CHECK(magnitude / static_cast<double>(logits.size()) == doctest::Approx(expected.mean_magnitude).epsilon(1e-4));
  }
}

}  // namespace
}  // namespace llama::test
