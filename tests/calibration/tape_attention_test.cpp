#include <planish/calibration/tape/attention.hpp>
#include <planish/calibration/tape/rope.hpp>

#include "tape_runs.hpp"

using gradient_check::check;
using gradient_check::Parameter;
using gradient_check::weighted_sum;
using tape_runs::check_float;
namespace tape = planish::calibration::tape;
using tape::CausalAttention;
using tape::RotaryPairs;
using tape::RotaryTable;
using tape::Tape;
using tape::Variable;

namespace {

struct AttentionShape {
  planish::index sequences, window, heads, kv_heads, head_size;
};

/// Attention by its definition, with all probabilities in memory, and its gradient for Σ weight ⊙ y.
struct AttentionOracle {
  std::vector<double> y, dq, dk, dv;

  AttentionOracle(const Parameter& q, const Parameter& k, const Parameter& v, const AttentionShape& s, double scale)
      : y(q.values.size()), dq(y.size()), dk(k.values.size()), dv(dk.size()) {
    for (planish::index sequence = 0; sequence < s.sequences; ++sequence)
      for (planish::index head = 0; head < s.heads; ++head)
        for (planish::index token = 0; token < s.window; ++token) {
          const planish::index kv_head = head / (s.heads / s.kv_heads), first = sequence * s.window;
          const auto query = static_cast<std::size_t>((first + token) * q.columns + head * s.head_size);
          const auto key = [&](planish::index j) {
            return static_cast<std::size_t>((first + j) * k.columns + kv_head * s.head_size);
          };
          add(q, k, v, s, scale, query, (first + token) * 131 + head * s.head_size, token, key);
        }
  }

 private:
  template <class Key>
  void add(const Parameter& q, const Parameter& k, const Parameter& v, const AttentionShape& s, double scale,
           std::size_t query, planish::index weight_at, planish::index token, Key&& key) {
    const auto size = static_cast<std::size_t>(s.head_size);
    const auto weight = [&](std::size_t i) {
      return std::sin(1.0 + 0.7 * static_cast<double>(weight_at + static_cast<planish::index>(i)));
    };
    std::vector<double> p(static_cast<std::size_t>(token + 1)), dp(p.size());
    double most = -1e300, sum = 0.0, dot = 0.0;
    for (planish::index j = 0; j <= token; ++j) {
      double& score = p[static_cast<std::size_t>(j)];
      for (std::size_t i = 0; i < size; ++i) score += scale * q.values[query + i] * k.values[key(j) + i];
      most = std::max(most, score);
    }
    for (double& score : p) sum += score = std::exp(score - most);
    for (planish::index j = 0; j <= token; ++j) {
      const auto at = static_cast<std::size_t>(j);
      p[at] /= sum;
      for (std::size_t i = 0; i < size; ++i) {
        y[query + i] += p[at] * v.values[key(j) + i];
        dv[key(j) + i] += p[at] * weight(i);
        dp[at] += weight(i) * v.values[key(j) + i];
      }
      dot += p[at] * dp[at];
    }
    for (planish::index j = 0; j <= token; ++j) {
      const double slope = scale * p[static_cast<std::size_t>(j)] * (dp[static_cast<std::size_t>(j)] - dot);
      for (std::size_t i = 0; i < size; ++i) {
        dq[query + i] += slope * k.values[key(j) + i];
        dk[key(j) + i] += slope * q.values[query + i];
      }
    }
  }
};

Parameter queries(const AttentionShape& s, unsigned seed) {
  return {s.sequences * s.window, s.heads * s.head_size, seed, 0.0, 1.0};
}
Parameter keys(const AttentionShape& s, unsigned seed) {
  return {s.sequences * s.window, s.kv_heads * s.head_size, seed, 0.0, 1.0};
}

}  // namespace

TEST_CASE("causal_attention: gradients equal central differences") {
  for (const AttentionShape& s : {AttentionShape{1, 1, 1, 1, 3},
                                  {2, 3, 2, 2, 1},
                                  {3, 1, 4, 1, 3},
                                  {2, 5, 1, 1, 6},
                                  {1, 7, 4, 4, 3},
                                  {2, 3, 8, 2, 3},
                                  {1, 4, 3, 1, 6},
                                  {1, 3, 1, 1, 64},
                                  {1, 2, 2, 1, 80}}) {
    CAPTURE(s.window);
    CAPTURE(s.heads);
    CAPTURE(s.head_size);
    Parameter q = queries(s, 1), k = keys(s, 2), v = keys(s, 3);
    const CausalAttention a{s.head_size, s.window};
    check({&q, &k, &v}, [&](auto&, auto& p) { return weighted_sum(tape::causal_attention(p[0], p[1], p[2], a)); });
    // one variable as keys and values, and inputs without a gradient
    check({&q, &k}, [&](auto&, auto& p) { return weighted_sum(tape::causal_attention(p[0], p[1], p[1], a)); });
    check({&k}, [&](auto& t, auto& p) {
      return weighted_sum(tape::causal_attention(t.constant(q.view()), p[0], t.constant(v.view()), a));
    });
    check({&v}, [&](auto& t, auto& p) {
      return weighted_sum(tape::causal_attention(t.constant(q.view()), t.constant(k.view()), p[0], a));
    });
    if (s.heads == s.kv_heads)
      check({&q}, [&](auto&, auto& p) { return weighted_sum(tape::causal_attention(p[0], p[0], p[0], a)); });
  }
}

TEST_CASE("causal_attention: value and gradients are those of the definition, over many tiles") {
  for (const AttentionShape& s : {AttentionShape{1, 95, 2, 2, 5},
                                  {2, 97, 4, 1, 6},
                                  {1, 193, 3, 1, 64},
                                  {1, 601, 8, 2, 3},
                                  {2, 150, 4, 2, 3},  // as many tiles of keys as heads of keys
                                  {1, 331, 5, 1, 3},
                                  {1, 7, 200, 2, 3},
                                  {1, 130, 1, 1, 80}}) {
    CAPTURE(s.window);
    CAPTURE(s.heads);
    CAPTURE(s.head_size);
    Parameter q = queries(s, 4), k = keys(s, 5), v = keys(s, 6);
    for (double scale : {0.0, 0.7}) {
      for (Parameter* p : {&q, &k, &v}) std::fill(p->gradient.begin(), p->gradient.end(), 0.0);
      Tape<double> t;
      const auto y =
          tape::causal_attention(t.parameter(q.view(), q.gradient_view()), t.parameter(k.view(), k.gradient_view()),
                                 t.parameter(v.view(), v.gradient_view()), {s.head_size, s.window, scale});
      const AttentionOracle expected(q, k, v, s,
                                     scale == 0.0 ? 1.0 / std::sqrt(static_cast<double>(s.head_size)) : scale);
      CHECK(tape_runs::difference(tape_runs::elements(y.value()), expected.y) < 1e-12);
      t.backward(weighted_sum(y));
      CHECK(tape_runs::difference(q.gradient, expected.dq) < 1e-11);
      CHECK(tape_runs::difference(k.gradient, expected.dk) < 1e-11);
      CHECK(tape_runs::difference(v.gradient, expected.dv) < 1e-11);
    }
  }
}

TEST_CASE("causal_attention: float equals double, and itself on any number of threads") {
  for (const AttentionShape& s :
       {AttentionShape{1, 1, 1, 1, 3}, {3, 50, 4, 1, 6}, {1, 700, 3, 1, 64}, {2, 301, 4, 4, 80}, {1, 97, 9, 3, 17}}) {
    CAPTURE(s.window);
    CAPTURE(s.head_size);
    Parameter q = queries(s, 7), k = keys(s, 8), v = keys(s, 9);
    check_float({&q, &k, &v}, [&]<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
      return tape::causal_attention(p[0], p[1], p[2], {s.head_size, s.window});
    });
  }
}

TEST_CASE("causal_attention: large scores, and one key that takes everything") {
  const AttentionShape s{1, 120, 2, 1, 4};
  Parameter q(120, 8, 10, 0.0, 30.0), k(120, 4, 11, 0.0, 30.0), v(120, 4, 12);
  for (planish::index i = 0; i < 4; ++i) k.view()(0, i) = 500.0;
  const AttentionOracle expected(q, k, v, s, 0.5);
  check_float(
      {&q, &k, &v},
      [&]<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
        return tape::causal_attention(p[0], p[1], p[2], {4, 120});
      },
      2e-2);
  Tape<double> t;
  const auto y = tape::causal_attention(t.constant(q.view()), t.constant(k.view()), t.constant(v.view()), {4, 120});
  CHECK(tape_runs::difference(tape_runs::elements(y.value()), expected.y) < 1e-10);
}

TEST_CASE("causal_attention: misuse throws a sentence") {
  Parameter q(6, 12, 20), k(6, 6, 21), wrong(5, 6, 22), nine(6, 9, 23);
  Tape<double> t;
  const auto a = t.constant(q.view()), b = t.constant(k.view()), c = t.constant(wrong.view()),
             d = t.constant(nine.view());
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, b, {5, 6}),
                       "queries of 12 and keys of 6 columns are not heads of 5", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, c, {3, 6}),
                       "attention of 6 queries to keys of 6 x 6 and values of 5 x 6", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, b, {3, 4}), "6 tokens are not windows of 4", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, d, d, {3, 6}), "4 query heads cannot share 3 KV heads evenly",
                       planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, b, {0, 6}),
                       "queries of 12 and keys of 6 columns are not heads of 0", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, b, {4, 6}),
                       "queries of 12 and keys of 6 columns are not heads of 4", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(d, b, b, {6, 6}),
                       "queries of 9 and keys of 6 columns are not heads of 6", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, c, b, {3, 6}),
                       "attention of 6 queries to keys of 5 x 6 and values of 6 x 6", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, d, {3, 6}),
                       "attention of 6 queries to keys of 6 x 6 and values of 6 x 9", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, b, b, {3, 0}), "6 tokens are not windows of 0", planish::Error);
  const auto none = t.constant({q.values.data(), 6, 0});
  CHECK_THROWS_WITH_AS((void)tape::causal_attention(a, none, none, {3, 6}),
                       "4 query heads cannot share 0 KV heads evenly", planish::Error);
}

TEST_CASE("rotary_embedding: gradients equal central differences") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    for (const AttentionShape& s :
         {AttentionShape{1, 1, 1, 1, 2}, {3, 1, 2, 1, 6}, {2, 5, 3, 1, 4}, {1, 4, 1, 1, 64}, {2, 3, 1, 1, 80}}) {
      CAPTURE(s.window);
      CAPTURE(s.head_size);
      Parameter x = queries(s, 30);
      const RotaryTable<double> table(s.window + 2, tape::rotary_frequencies(s.head_size, 10000.0));
      const tape::RotaryLayout layout{s.head_size, s.window, pairs};
      check({&x}, [&](auto&, auto& p) { return weighted_sum(tape::rotary_embedding(p[0], table, layout)); });
      check({&x},
            [&](auto&, auto& p) { return weighted_sum(tape::add(p[0], tape::rotary_embedding(p[0], table, layout))); });
    }
}

TEST_CASE("rotary_embedding: turns by position times frequency, anew in every window; other channels stay") {
  // heads of 5: two pairs turn and one channel does not
  Parameter x(6, 10, 31);
  const std::vector<double> frequencies{0.9, 0.11};
  const RotaryTable<double> table(3, frequencies);
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    Tape<double> t;
    const auto y = tape::rotary_embedding(t.constant(x.view()), table, {5, 3, pairs}).value();
    for (planish::index r = 0; r < 6; ++r)
      for (planish::index head = 0; head < 2; ++head) {
        for (planish::index i = 0; i < 2; ++i) {
          const planish::index a = head * 5 + (pairs == RotaryPairs::halves ? i : 2 * i);
          const planish::index b = head * 5 + (pairs == RotaryPairs::halves ? i + 2 : 2 * i + 1);
          const double angle = static_cast<double>(r % 3) * frequencies[static_cast<std::size_t>(i)];
          CHECK(y(r, a) ==
                doctest::Approx(x.view()(r, a) * std::cos(angle) - x.view()(r, b) * std::sin(angle)).epsilon(1e-12));
          CHECK(y(r, b) ==
                doctest::Approx(x.view()(r, a) * std::sin(angle) + x.view()(r, b) * std::cos(angle)).epsilon(1e-12));
        }
        CHECK(y(r, head * 5 + 4) == x.view()(r, head * 5 + 4));
      }
  }
}

TEST_CASE("rotary_embedding: a table of given cosines and sines") {
  Parameter x(4, 6, 32), cosines(4, 2, 33), sines(4, 2, 34);
  const RotaryTable<double> table(cosines.view(), sines.view());
  Tape<double> t;
  const auto y = tape::rotary_embedding(t.constant(x.view()), table, {6, 4, RotaryPairs::halves}).value();
  CHECK(y(3, 1) == doctest::Approx(x.view()(3, 1) * cosines.view()(3, 1) - x.view()(3, 3) * sines.view()(3, 1)));
  check({&x}, [&](auto&, auto& p) {
    return weighted_sum(tape::rotary_embedding(p[0], table, {6, 4, RotaryPairs::interleaved}));
  });
}

TEST_CASE("rotary_embedding: float equals double, and itself on any number of threads") {
  Parameter x(3 * 131, 9 * 64, 35);
  const auto frequencies = tape::rotary_frequencies(64, 10000.0);
  const RotaryTable<float> single(131, frequencies);
  const RotaryTable<double> exact(131, frequencies);
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    check_float({&x}, [&]<class T>(Tape<T>&, std::vector<Variable<T>>& p) {
      if constexpr (std::is_same_v<T, float>)
        return tape::rotary_embedding(p[0], single, {64, 131, pairs});
      else
        return tape::rotary_embedding(p[0], exact, {64, 131, pairs});
    });
}

TEST_CASE("rotary_embedding: misuse throws a sentence") {
  Parameter x(6, 10, 36), cosines(2, 3, 37), sines(2, 4, 38);
  const RotaryTable<double> table(4, tape::rotary_frequencies(6, 10000.0));
  Tape<double> t;
  const auto a = t.constant(x.view());
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {5, 3}),
                       "cannot turn 3 pairs of heads of 5 channels in 10 columns", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {10, 6}),
                       "cannot turn 6 tokens in windows of 6 by a table of 4 positions", planish::Error);
  CHECK_THROWS_WITH_AS(RotaryTable<double>(cosines.view(), sines.view()), "cosines of 2 x 3 and sines of 2 x 4",
                       planish::Error);
  CHECK_THROWS_WITH_AS(RotaryTable<double>(cosines.view(), cosines.view().middle_rows(0, 1)),
                       "cosines of 2 x 3 and sines of 1 x 3", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {0, 3}),
                       "cannot turn 3 pairs of heads of 0 channels in 10 columns", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {8, 3}),
                       "cannot turn 3 pairs of heads of 8 channels in 10 columns", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {10, 0}),
                       "cannot turn 6 tokens in windows of 0 by a table of 4 positions", planish::Error);
  CHECK_THROWS_WITH_AS((void)tape::rotary_embedding(a, table, {10, 4}),
                       "cannot turn 6 tokens in windows of 4 by a table of 4 positions", planish::Error);
  const RotaryTable<double> none(4, {});  // no pairs: nothing turns, heads of one channel too
  CHECK(tape_runs::elements(tape::rotary_embedding(a, none, {1, 3}).value()) == x.values);
}
