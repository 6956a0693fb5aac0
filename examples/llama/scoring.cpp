#include "scoring.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "exponential.hpp"

namespace llama {
namespace {

using planish::index;

/// Sums over a vocabulary run in this many independent lanes, which is what lets the compiler use SIMD.
constexpr std::size_t lanes = 16;

/// Calls body(i, lane) for every i in [0, count), neighbouring elements in neighbouring lanes.
template <class Body>
inline void for_each_lane(std::size_t count, Body&& body) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::size_t lane = 0; lane < lanes; ++lane) body(i + lane, lane);
  for (std::size_t lane = 0; i + lane < count; ++lane) body(i + lane, lane);
}

double sum_of(const double (&parts)[lanes]) {
  double sum = 0.0;
  for (const double part : parts) sum += part;
  return sum;
}

float largest(std::span<const float> row) {
  float parts[lanes];
  std::fill(std::begin(parts), std::end(parts), -std::numeric_limits<float>::infinity());
  const float* x = row.data();
  for_each_lane(row.size(),
                [&](std::size_t i, std::size_t lane) { parts[lane] = x[i] > parts[lane] ? x[i] : parts[lane]; });
  return *std::max_element(std::begin(parts), std::end(parts));
}

int first_equal(std::span<const float> row, float value) {
  const auto found = std::find(row.begin(), row.end(), value);
  return found == row.end() ? 0 : static_cast<int>(found - row.begin());
}

double log_sum_exp_below(std::span<const float> row, float top) {
  double parts[lanes] = {};
  const float* x = row.data();
  const double shift = static_cast<double>(top);
  for_each_lane(row.size(), [&](std::size_t i, std::size_t lane) {
    parts[lane] += exponential(static_cast<double>(x[i]) - shift);
  });
  return shift + std::log(sum_of(parts));
}

/// Everything that two rows of logits p and q tell, in one pass over both.
struct RowPair {
  double log_sum_q;
  double kl;
};
RowPair compare(std::span<const float> p, float p_top, std::span<const float> q, float q_top) {
  double sum_p[lanes] = {}, sum_q[lanes] = {}, sum_difference[lanes] = {};
  const float* a = p.data();
  const float* b = q.data();
  const double p_shift = static_cast<double>(p_top), q_shift = static_cast<double>(q_top);
  for_each_lane(q.size(), [&](std::size_t i, std::size_t lane) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    const double weight = exponential(x - p_shift);
    sum_p[lane] += weight;
    sum_q[lane] += exponential(y - q_shift);
    sum_difference[lane] += weight * (x - y);
  });
  const double total_p = sum_of(sum_p);
  const double log_sum_p = p_shift + std::log(total_p);
  const double log_sum_q = q_shift + std::log(sum_of(sum_q));
  const double kl = sum_of(sum_difference) / total_p - (log_sum_p - log_sum_q);
  return {log_sum_q, kl < 0.0 ? 0.0 : kl};  // rounding alone makes it negative; NaN stays
}

std::span<const float> row_of(planish::MatrixView<const float> matrix, index row) {
  return {matrix.row(row), static_cast<std::size_t>(matrix.columns())};
}

}  // namespace

double log_sum_exp(std::span<const float> logits) noexcept { return log_sum_exp_below(logits, largest(logits)); }

double negative_log_likelihood(std::span<const float> logits, int target) noexcept {
  return log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(target)]);
}

double kl_divergence(std::span<const float> reference, std::span<const float> logits) noexcept {
  return compare(reference, largest(reference), logits, largest(logits)).kl;
}

int likeliest(std::span<const float> logits) noexcept { return first_equal(logits, largest(logits)); }

void score_rows(planish::MatrixView<const float> logits, planish::MatrixView<const float> reference,
                std::span<const int> targets, std::span<PositionScore> scores,
                planish::ExecutorReference executor) noexcept {
  assert(logits.has_dense_rows() && reference.has_dense_rows());
  assert(targets.size() == static_cast<std::size_t>(logits.rows()) && scores.size() == targets.size());
  assert(reference.empty() || (reference.rows() == logits.rows() && reference.columns() == logits.columns()));
  executor.run(static_cast<int>(logits.rows()), [&](int row, int /*worker*/) {
    const auto q = row_of(logits, row);
    const float q_top = largest(q);
    PositionScore score;
    double log_sum_q;
    if (reference.empty()) {
      log_sum_q = log_sum_exp_below(q, q_top);
    } else {
      const auto p = row_of(reference, row);
      const float p_top = largest(p);
      const RowPair pair = compare(p, p_top, q, q_top);
      log_sum_q = pair.log_sum_q;
      score.kl = pair.kl;
      score.agrees = first_equal(p, p_top) == first_equal(q, q_top);
    }
    const auto at = static_cast<std::size_t>(row);
    score.nll = log_sum_q - static_cast<double>(q[static_cast<std::size_t>(targets[at])]);
    scores[at] = score;
  });
}

void TextScore::add_window(std::span<const PositionScore> scores) {
  if (scores.empty()) return;
  Window window{static_cast<double>(scores.size()), 0.0, 0.0, 0.0};
  for (const PositionScore& score : scores) {
    window.nll += score.nll;
    window.kl += score.kl;
    window.agreements += score.agrees ? 1.0 : 0.0;
  }
  windows_.push_back(window);
  predictions_ += static_cast<std::int64_t>(scores.size());
}

/// The ratio of two sums over windows, and the spread of a ratio estimate: sqrt(W/(W−1) sum (s_w − m n_w)²) / sum n_w
/// (Cochran, Sampling Techniques, §2.11).
Estimate TextScore::mean_of(double Window::*sum) const {
  const auto count = static_cast<double>(windows_.size());
  double total = 0.0, predictions = 0.0;
  for (const Window& window : windows_) {
    total += window.*sum;
    predictions += window.predictions;
  }
  const double mean = total / predictions;  // NaN without windows
  if (windows_.size() < 2) return {mean, std::numeric_limits<double>::quiet_NaN()};
  double squares = 0.0;
  for (const Window& window : windows_) {
    const double deviation = window.*sum - mean * window.predictions;
    squares += deviation * deviation;
  }
  return {mean, std::sqrt(squares * count / (count - 1.0)) / predictions};
}

Estimate TextScore::mean_nll() const { return mean_of(&Window::nll); }
Estimate TextScore::mean_kl() const { return mean_of(&Window::kl); }
Estimate TextScore::top1_agreement() const { return mean_of(&Window::agreements); }

Estimate TextScore::perplexity() const {
  const Estimate nll = mean_nll();
  const double value = std::exp(nll.value);
  return {value, value * nll.standard_error};
}

}  // namespace llama
