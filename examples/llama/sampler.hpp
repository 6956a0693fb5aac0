#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <planish/core/random.hpp>

namespace llama {

/// How the next token is drawn. The defaults draw from the model's own distribution.
struct SamplerOptions {
  float temperature = 1.0f;      ///< 0: always the likeliest token
  int top_k = 0;                 ///< only the k likeliest tokens; 0: all
  float top_p = 1.0f;            ///< of those, only the likeliest that together reach this probability
  std::vector<int> masked = {};  ///< tokens that are never drawn
};

/// Draws tokens. The same seed and the same logits give the same tokens; use one sampler per sequence.
class Sampler {
 public:
  /// Throws Error for options outside their range.
  Sampler(SamplerOptions options, std::uint64_t seed);

  /// The next token for a row of logits. Throws Error if a logit is not finite or every token is masked.
  [[nodiscard]] int sample(std::span<const float> logits);

 private:
  [[nodiscard]] double keep_likeliest();

  SamplerOptions options_;
  planish::Random random_;
  std::vector<float> logits_;    ///< by token; masked ones are −infinity
  std::vector<double> weights_;  ///< by token: probabilities up to a common factor
  std::vector<int> kept_;        ///< with top-k or top-p: the tokens that may be drawn, likeliest first
};

}  // namespace llama
