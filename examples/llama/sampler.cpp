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
  const auto for_each_masked = [&](auto&& change) {
    for (const int token : options_.masked)
      if (token >= 0 && static_cast<std::size_t>(token) < logits_.size()) change(static_cast<std::size_t>(token));
  };
  for_each_masked([&](std::size_t token) { logits_[token] = -std::numeric_limits<float>::infinity(); });
  const int best = logits_.empty() ? 0 : likeliest(logits_);
  const float top = logits_.empty() ? -std::numeric_limits<float>::infinity() : logits_[static_cast<std::size_t>(best)];
  if (!std::isfinite(top)) fail("every token is masked: none can be drawn");
  if (options_.temperature == 0.0f) return best;

  const double sharpness = 1.0 / static_cast<double>(options_.temperature);
  const auto shift = static_cast<double>(top);
  weights_.resize(logits_.size());
  for (std::size_t i = 0; i < weights_.size(); ++i)
    weights_[i] = exponential((static_cast<double>(logits_[i]) - shift) * sharpness);
  for_each_masked([&](std::size_t token) { weights_[token] = 0.0; });  // exactly: exp(-700) could still be drawn

  if (options_.top_k == 0 && options_.top_p == 1.0f) {
    double left = random_.uniform() * std::accumulate(weights_.begin(), weights_.end(), 0.0);
    for (std::size_t i = 0; i < weights_.size(); ++i)
      if ((left -= weights_[i]) < 0.0) return static_cast<int>(i);
    return best;  // only rounding leads here
  }
  double left = random_.uniform() * keep_likeliest();
  for (const int token : kept_)
    if ((left -= weights_[static_cast<std::size_t>(token)]) < 0.0) return token;
  return best;
}

/// Fills kept_ as top-k and top-p say; returns the sum of its weights.
double Sampler::keep_likeliest() {
  const auto likelier = [this](int a, int b) {
    const float x = logits_[static_cast<std::size_t>(a)], y = logits_[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  };
  const auto weight = [this](int token) { return weights_[static_cast<std::size_t>(token)]; };
  kept_.resize(logits_.size());
  std::iota(kept_.begin(), kept_.end(), 0);
  std::size_t sorted = 0;  // that many of kept_ are the likeliest, in order
  const auto sort_until = [&](std::size_t count) {
    const auto at = [this](std::size_t i) { return kept_.begin() + static_cast<std::ptrdiff_t>(i); };
    std::partial_sort(at(sorted), at(count), kept_.end(), likelier);
    sorted = count;
  };

  if (options_.top_k != 0) {
    sort_until(std::min(kept_.size(), static_cast<std::size_t>(options_.top_k)));
    kept_.resize(sorted);
  }
  const double all =
      std::accumulate(kept_.begin(), kept_.end(), 0.0, [&](double sum, int token) { return sum + weight(token); });
  if (options_.top_p == 1.0f) return all;
  const double wanted = static_cast<double>(options_.top_p) * all;
  double total = 0.0;
  std::size_t count = 0;
  while (count < kept_.size() && total < wanted) {
    if (count == sorted) sort_until(std::min(kept_.size(), std::max<std::size_t>(64, 4 * sorted)));
    total += weight(kept_[count++]);
  }
  kept_.resize(count);
  return total;
}

}  // namespace llama
