#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "error.hpp"
#include "exponential.hpp"
#include "scoring.hpp"

namespace llama {

Sampler::Sampler(SamplerOptions options, std::uint64_t seed) : options_(std::move(options)), random_(seed) {
  if (!(options_.temperature >= 0.0f) || !std::isfinite(options_.temperature))
    fail("the temperature is ", options_.temperature, "; it is 0 (always the likeliest token) or larger");
  if (options_.top_k < 0) fail("top-k is ", options_.top_k, "; it is 0 (all tokens) or larger");
  if (!(options_.top_p > 0.0f) || options_.top_p > 1.0f)
    fail("top-p is ", options_.top_p, "; it lies above 0 and is at most 1 (all tokens)");
}

int Sampler::sample(std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }))
    fail("the model's logits hold NaN or infinity: no token can be drawn");
  logits_.assign(logits.begin(), logits.end());
  for (const int token : options_.masked)
    if (token >= 0 && static_cast<std::size_t>(token) < logits_.size())
      logits_[static_cast<std::size_t>(token)] = -std::numeric_limits<float>::infinity();
  const int best = logits_.empty() ? 0 : likeliest(logits_);
  const float top = logits_.empty() ? -std::numeric_limits<float>::infinity() : logits_[static_cast<std::size_t>(best)];
  if (!std::isfinite(top)) fail("every token is masked: none can be drawn");
  if (options_.temperature == 0.0f) return best;

  tokens_.resize(logits_.size());
  std::iota(tokens_.begin(), tokens_.end(), 0);
  const bool all_tokens = options_.top_k == 0 && options_.top_p == 1.0f;
  if (!all_tokens) order_likeliest_first();

  const double sharpness = 1.0 / static_cast<double>(options_.temperature);
  weights_.resize(tokens_.size());
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const auto logit = static_cast<double>(logits_[static_cast<std::size_t>(tokens_[i])]);
    weights_[i] = exponential((logit - static_cast<double>(top)) * sharpness);
  }
  double total = std::accumulate(weights_.begin(), weights_.end(), 0.0);
  if (options_.top_p < 1.0f) {
    const double wanted = static_cast<double>(options_.top_p) * total;
    std::size_t kept = 0;
    for (total = 0.0; kept < weights_.size() && total < wanted; ++kept) total += weights_[kept];
    weights_.resize(kept);
  }

  double left = random_.uniform() * total;
  for (std::size_t i = 0; i + 1 < weights_.size(); ++i) {
    left -= weights_[i];
    if (left < 0.0) return tokens_[i];
  }
  return all_tokens ? best : tokens_[weights_.size() - 1];  // only rounding leads here
}

void Sampler::order_likeliest_first() {
  const auto likelier = [this](int a, int b) {
    const float x = logits_[static_cast<std::size_t>(a)], y = logits_[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  const std::size_t kept =
      options_.top_k == 0 ? tokens_.size() : std::min(tokens_.size(), static_cast<std::size_t>(options_.top_k));
  std::partial_sort(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(kept), tokens_.end(), likelier);
  tokens_.resize(kept);
}

}  // namespace llama
