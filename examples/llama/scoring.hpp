#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include <planish/core/executor.hpp>
#include <planish/core/matrix_view.hpp>

namespace llama {

/// log(sum of exp(logit)), in float64.
[[nodiscard]] double log_sum_exp(std::span<const float> logits) noexcept;

/// −log of the probability of `target`: what a language model pays for the token that came, in nats.
[[nodiscard]] double negative_log_likelihood(std::span<const float> logits, int target) noexcept;

/// KL(reference || logits) = sum p (log p − log q) of two rows of logits over the same vocabulary, in nats.
[[nodiscard]] double kl_divergence(std::span<const float> reference, std::span<const float> logits) noexcept;

/// The likeliest token; the first of equals.
[[nodiscard]] int likeliest(std::span<const float> logits) noexcept;

/// What one prediction is worth.
struct PositionScore {
  double nll = 0.0;    ///< nats
  double kl = 0.0;     ///< nats, to the reference; 0 without one
  bool agrees = true;  ///< the likeliest token is the reference's
};

/// Scores row r of `logits` (positions × vocabulary) against targets[r] and, unless `reference` is empty, against row r
/// of `reference` (same shape). Rows must be dense. NaN logits give NaN scores.
void score_rows(planish::MatrixView<const float> logits, planish::MatrixView<const float> reference,
                std::span<const int> targets, std::span<PositionScore> scores,
                planish::ExecutorReference executor = {}) noexcept;

/// A mean and how far another sample of windows might move it.
struct Estimate {
  double value = 0.0;
  double standard_error = 0.0;  ///< NaN with fewer than two windows
};

/// Collects the scores of a text, window by window. Every prediction counts the same.
class TextScore {
 public:
  void add_window(std::span<const PositionScore> scores);

  [[nodiscard]] std::int64_t predictions() const noexcept { return predictions_; }
  [[nodiscard]] int windows() const noexcept { return static_cast<int>(windows_.size()); }

  /// exp(mean nll). Its standard error comes from the spread between windows, as neighbouring predictions depend on
  /// each other.
  [[nodiscard]] Estimate perplexity() const;
  [[nodiscard]] Estimate mean_nll() const;
  [[nodiscard]] Estimate mean_kl() const;
  [[nodiscard]] Estimate top1_agreement() const;

 private:
  struct Window {
    double predictions, nll, kl, agreements;  ///< sums
  };
  [[nodiscard]] Estimate mean_of(double Window::*sum) const;

  std::vector<Window> windows_;
  std::int64_t predictions_ = 0;
};

}  // namespace llama
