#include "llama/rope.hpp"

#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/random.hpp>

using planish::MatrixView;

namespace llama::test {
namespace {

llama::Config config_with(RotaryPairs pairs, index head_size, index rotary_size) {
  llama::Config config;
  config.head_size = head_size;
  config.pairs = pairs;
  config.rotary_frequencies = llama::rotary_frequencies(10000.0, rotary_size);
  return config;
}

std::vector<float> random_row(std::uint64_t seed, index size) {
  planish::Random random(seed);
  std::vector<float> row;
  for (index i = 0; i < size; ++i) row.push_back(static_cast<float>(random.normal()));
  return row;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST_CASE("RoPE: products of turned queries and keys depend on the distance alone") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    for (index rotary_size : {index{8}, index{6}}) {
      const llama::Rope rope(config_with(pairs, 8, rotary_size), 64);
      const auto product = [&](index query_position, index key_position) {
        auto q = random_row(1, 8), k = random_row(2, 8);
        rope.apply(MatrixView<float>(q.data(), 1, 8), query_position);
        rope.apply(MatrixView<float>(k.data(), 1, 8), key_position);
        return dot(q, k);
      };
      CHECK(product(5, 3) == doctest::Approx(product(40, 38)).epsilon(1e-5));
      CHECK(product(0, 0) == doctest::Approx(dot(random_row(1, 8), random_row(2, 8))).epsilon(1e-5));
      CHECK(product(9, 3) != doctest::Approx(product(5, 3)).epsilon(1e-3));
    }
}

TEST_CASE("RoPE: the two pairings differ by the order of channels alone") {
  const index size = 16;
  const auto plain = random_row(3, 3 * size);  // one row of three heads
  std::vector<float> interleaved(plain), halves(plain.size());
  const auto place = [&](std::size_t i) {  // channel 2j + b of a head becomes j + b · size / 2
    const auto n = static_cast<std::size_t>(size), head = i / n, c = i % n;
    return head * n + c / 2 + c % 2 * n / 2;
  };
  for (std::size_t i = 0; i < plain.size(); ++i) halves[place(i)] = plain[i];
  llama::Rope(config_with(RotaryPairs::interleaved, size, size), 20)
      .apply(MatrixView<float>(interleaved.data(), 1, 3 * size), 13);
  llama::Rope(config_with(RotaryPairs::halves, size, size), 20)
      .apply(MatrixView<float>(halves.data(), 1, 3 * size), 13);
  for (std::size_t i = 0; i < plain.size(); ++i)
    CHECK(interleaved[i] == doctest::Approx(halves[place(i)]).epsilon(1e-6));
}

TEST_CASE("RoPE: against sine and cosine, positions row by row") {
  const index size = 8, rows = 3;
  auto x = random_row(4, rows * size);
  const auto before = x;
  llama::Rope(config_with(RotaryPairs::halves, size, size), 10).apply(MatrixView<float>(x.data(), rows, size), 6);
  for (index r = 0; r < rows; ++r)
    for (index i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(6 + r) * std::pow(10000.0, -static_cast<double>(i) / 4.0);
      const auto a = static_cast<std::size_t>(r * size + i), b = a + 4;
      CHECK(static_cast<double>(x[a]) == doctest::Approx(static_cast<double>(before[a]) * std::cos(angle) -
                                                         static_cast<double>(before[b]) * std::sin(angle))
                                             .epsilon(1e-5));
      CHECK(static_cast<double>(x[b]) == doctest::Approx(static_cast<double>(before[a]) * std::sin(angle) +
                                                         static_cast<double>(before[b]) * std::cos(angle))
                                             .epsilon(1e-5));
    }
}

}  // namespace
}  // namespace llama::test
