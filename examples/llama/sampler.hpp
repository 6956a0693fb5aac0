#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <planish/core/random.hpp>

namespace llama {

/// How the next token is drawn. The defaults draw from the model's own distribution.
struct SamplerOptions {
  float temperature = 1.0f;  ///< 0: always the likeliest token
  int top_k = 0;             ///< only the k likeliest tokens; 0: all
  float top_p = 1.0f;        ///< only the likeliest tokens that together reach this probability
  std::vector<int> masked;   ///< tokens that are never drawn
};

/// Draws tokens. The same seed and the same logits give the same tokens; use one sampler per sequence.
class Sampler {
 public:
  /// Throws Error for options outside their range.
  Sampler(SamplerOptions options, std::uint64_t seed);

  /// The next token for a row of logits. Throws Error if no token is left to draw or the logits are not
  /// finite.
  [[nodiscard]] int sample(std::span<const float> logits);

 private:
  [[nodiscard]] int draw(double total);

  SamplerOptions options_;
  planish::Random random_;
  std::vector<float> logits_;                      ///< masked copy
  std::vector<double> weights_;                    ///< by token: probability up to a factor
  std::vector<std::pair<float, int>> candidates_;  ///< logit and token, likeliest first
};

}  // namespace llama
