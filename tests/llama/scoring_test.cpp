#include "llama/scoring.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>

#include "llama/exponential.hpp"
#include "llama/thread_pool.hpp"

using namespace llama;

namespace {

std::vector<float> random_logits(planish::Random& random, std::size_t size, double spread) {
  std::vector<float> row(size);
  for (float& x : row) x = static_cast<float>(random.normal() * spread);
  return row;
}

/// The definitions, term by term, in long double.
struct Naive {
  std::vector<long double> log_p;
  explicit Naive(const std::vector<float>& logits) {
    long double sum = 0;
    for (const float x : logits) sum += std::exp(static_cast<long double>(x));
    for (const float x : logits) log_p.push_back(static_cast<long double>(x) - std::log(sum));
  }
  [[nodiscard]] double kl_to(const Naive& q) const {
    long double sum = 0;
    for (std::size_t i = 0; i < log_p.size(); ++i) sum += std::exp(log_p[i]) * (log_p[i] - q.log_p[i]);
    return static_cast<double>(sum);
  }
};

}  // namespace

TEST_CASE("the vectorisable exponential is accurate to the last digits") {
  double worst = 0.0;
  for (double x = -700.0; x <= 0.0; x += 0.00731) worst = std::max(worst, std::abs(exponential(x) / std::exp(x) - 1.0));
  CHECK(worst < 2e-15);
  CHECK(exponential(0.0) == 1.0);
  CHECK(exponential(-std::numeric_limits<double>::infinity()) < 1e-300);
  CHECK(std::isnan(exponential(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("scores equal their definitions on every size") {
  for (const std::size_t size : {1u, 2u, 7u, 63u, 64u, 65u, 576u, 1536u, 49152u})
    for (const double spread : {0.01, 1.0, 12.0}) {
      planish::Random random(size + 17);
      INFO("size ", size, ", spread ", spread, ", seed ", size + 17);
      const std::vector<float> p = random_logits(random, size, spread);
      std::vector<float> q = p;
      for (float& x : q) x += static_cast<float>(0.3 * random.normal());
      const Naive naive_p(p), naive_q(q);
      const auto target = static_cast<std::size_t>(random.below(size));
      CHECK(negative_log_likelihood(q, static_cast<int>(target)) ==
            doctest::Approx(static_cast<double>(-naive_q.log_p[target])).epsilon(1e-12));
      CHECK(std::abs(kl_divergence(p, q) - naive_p.kl_to(naive_q)) < 1e-12);
      CHECK(kl_divergence(p, p) < 1e-14);
    }
}

TEST_CASE("large logits neither overflow nor lose the small ones") {
  const std::vector<float> row{3e4f, 3e4f, -3e4f};
  CHECK(log_sum_exp(row) == doctest::Approx(3e4 + std::log(2.0)).epsilon(1e-14));
  CHECK(negative_log_likelihood(row, 2) == doctest::Approx(6e4 + std::log(2.0)).epsilon(1e-14));
}

TEST_CASE("a tiny divergence keeps its digits") {
  std::vector<float> p(49152, 0.0f), q(49152, 0.0f);
  q[5] = 0.0078125f;  // second order: KL is about d^2 / 2 / n
  const double expected = std::log((49151.0 + std::exp(0.0078125)) / 49152.0) - 0.0078125 / 49152.0;
  CHECK(kl_divergence(p, q) == doctest::Approx(expected).epsilon(1e-4));
}

TEST_CASE("the likeliest is the first of equals") {
  CHECK(likeliest(std::vector<float>{1, 3, 2, 3}) == 1);
  CHECK(likeliest(std::vector<float>{-5}) == 0);
  std::vector<float> row(100, -1.0f);
  row[99] = row[98] = 0.5f;
  CHECK(likeliest(row) == 98);
}

TEST_CASE("NaN logits give NaN scores, not good ones") {
  std::vector<float> row(64, 1.0f);
  const std::vector<float> clean = row;
  row[33] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(negative_log_likelihood(row, 0)));
  CHECK(std::isnan(kl_divergence(clean, row)));
  CHECK(std::isnan(kl_divergence(row, clean)));
}

TEST_CASE("rows are scored alike alone, together and by threads") {
  constexpr planish::index rows = 9, vocabulary = 65;
  planish::Random random(5);
  const std::vector<float> p = random_logits(random, rows * vocabulary, 2.0);
  const std::vector<float> q = random_logits(random, rows * vocabulary, 2.0);
  std::vector<int> targets;
  for (int r = 0; r < rows; ++r) targets.push_back(static_cast<int>(random.below(vocabulary)));
  const planish::MatrixView<const float> reference(p.data(), rows, vocabulary), logits(q.data(), rows, vocabulary);
  std::vector<PositionScore> scores(rows), threaded(rows), alone(rows);
  score_rows(logits, reference, targets, scores);
  ThreadPool pool(3);
  score_rows(logits, reference, targets, threaded, pool);
  score_rows(logits, {}, targets, alone);
  for (std::size_t r = 0; r < scores.size(); ++r) {
    const std::span<const float> p_row(p.data() + r * vocabulary, vocabulary),
        q_row(q.data() + r * vocabulary, vocabulary);
    CHECK(scores[r].nll == negative_log_likelihood(q_row, targets[r]));
    CHECK(scores[r].kl == kl_divergence(p_row, q_row));
    CHECK(scores[r].agrees == (likeliest(p_row) == likeliest(q_row)));
    CHECK(threaded[r].nll == scores[r].nll);
    CHECK(threaded[r].kl == scores[r].kl);
    CHECK(threaded[r].agrees == scores[r].agrees);
    CHECK(alone[r].nll == doctest::Approx(scores[r].nll).epsilon(1e-14));
    CHECK(alone[r].kl == 0.0);
  }
}

TEST_CASE("perplexity is the exponential of the mean over all predictions") {
  TextScore text;
  CHECK(std::isnan(text.perplexity().value));
  text.add_window(std::vector<PositionScore>{{1.0, 0.1, true}, {2.0, 0.3, false}});
  CHECK(text.perplexity().value == doctest::Approx(std::exp(1.5)));
  CHECK(std::isnan(text.perplexity().standard_error));
  text.add_window(std::vector<PositionScore>{{3.0, 0.2, true}, {6.0, 0.2, true}});
  CHECK(text.windows() == 2);
  CHECK(text.predictions() == 4);
  CHECK(text.mean_nll().value == doctest::Approx(3.0));
  CHECK(text.mean_nll().standard_error == doctest::Approx(1.5));  // of the window means 1.5 and 4.5
  CHECK(text.perplexity().value == doctest::Approx(std::exp(3.0)));
  CHECK(text.perplexity().standard_error == doctest::Approx(1.5 * std::exp(3.0)));
  CHECK(text.mean_kl().value == doctest::Approx(0.2));
  CHECK(text.top1_agreement().value == doctest::Approx(0.75));
}

TEST_CASE("the standard error says how far samples scatter") {
  planish::Random random(11);
  double sum = 0.0, squares = 0.0, claimed = 0.0;
  constexpr int repeats = 300;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    TextScore text;
    for (int window = 0; window < 30; ++window) {
      std::vector<PositionScore> scores(window % 2 == 0 ? 20 : 10);
      const double level = 3.0 + 0.5 * random.normal();
      for (PositionScore& score : scores) score.nll = level + random.normal();
      text.add_window(scores);
    }
    sum += text.mean_nll().value;
    squares += text.mean_nll().value * text.mean_nll().value;
    claimed += text.mean_nll().standard_error / repeats;
  }
  const double scatter = std::sqrt(squares / repeats - (sum / repeats) * (sum / repeats));
  INFO("seed 11: scatter ", scatter, ", claimed ", claimed);
  CHECK(claimed == doctest::Approx(scatter).epsilon(0.15));
}
