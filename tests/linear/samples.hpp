#pragma once
// Inputs and comparisons that the tests of layers share.
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <planish/linear/any.hpp>
#include <planish/planish.hpp>

namespace samples {

namespace pl = planish;
using pl::MatrixView;

/// rows × columns of normal values; some columns are 20 times larger, as activations of language models are.
struct Matrix {
  pl::index rows, columns;
  std::vector<float> values;

  Matrix(pl::index r, pl::index c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  Matrix(std::vector<float> given, pl::index r, pl::index c) : rows(r), columns(c), values(std::move(given)) {}
  Matrix(pl::index r, pl::index c, std::uint64_t seed, double spread = 1.0) : Matrix(r, c) {
    pl::Random random(seed);
    for (pl::index i = 0; i < r * c; ++i)
      values[static_cast<std::size_t>(i)] =
          static_cast<float>(random.normal() * spread * ((i % c) % 29 == 3 ? 20.0 : 1.0));
  }

  [[nodiscard]] MatrixView<float> view() { return {values.data(), rows, columns}; }
  [[nodiscard]] MatrixView<const float> view() const { return {values.data(), rows, columns}; }
};

/// One workspace of its own per call.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {}
  [[nodiscard]] pl::Workspace workspace() { return pl::Workspace(std::span<std::byte>(bytes_)); }

 private:
  std::vector<std::byte> bytes_;
};

/// Runs tasks from last to first on alternating workers: what does not depend on the order gives the same result.
struct Shuffled {
  int count = 3;
  int workers() const noexcept { return count; }
  template <class Work>
  void run(int tasks, Work&& work) const noexcept {
    for (int task = tasks - 1; task >= 0; --task) work(task, task % count);
  }
};

inline bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

inline pl::index different_bits(MatrixView<const float> a, MatrixView<const float> b) {
  REQUIRE(a.rows() == b.rows());
  REQUIRE(a.columns() == b.columns());
  pl::index count = 0;
  for (pl::index r = 0; r < a.rows(); ++r)
    for (pl::index c = 0; c < a.columns(); ++c) count += !same_bits(a(r, c), b(r, c));
  return count;
}

/// Codes, scales, sums and zero points that are not equal to the bit.
inline pl::index different_codes(pl::QuantizedRowsView a, pl::QuantizedRowsView b) {
  REQUIRE(a.rows == b.rows);
  REQUIRE(a.columns == b.columns);
  pl::index count = 0;
  for (pl::index r = 0; r < a.rows; ++r) {
    count += !same_bits(a.scales[r], b.scales[r]) || a.sums[r] != b.sums[r] || a.zero_point(r) != b.zero_point(r);
    for (pl::index c = 0; c < a.columns; ++c) count += a.row(r)[c] != b.row(r)[c];
  }
  return count;
}

/// max |a − b| / max |b|.
inline double relative_error(MatrixView<const float> a, MatrixView<const float> b) {
  double error = 0.0, size = 1e-30;
  for (pl::index r = 0; r < a.rows(); ++r)
    for (pl::index c = 0; c < a.columns(); ++c) {
      error = std::fmax(error, std::fabs(static_cast<double>(a(r, c)) - static_cast<double>(b(r, c))));
      size = std::fmax(size, std::fabs(static_cast<double>(b(r, c))));
    }
  return error / size;
}

/// x Wᵀ + b in float64.
inline Matrix exact_product(MatrixView<const float> x, MatrixView<const float> w, std::span<const float> bias) {
  Matrix y(x.rows(), w.rows());
  for (pl::index r = 0; r < x.rows(); ++r)
    for (pl::index n = 0; n < w.rows(); ++n) {
      double sum = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<std::size_t>(n)]);
      for (pl::index c = 0; c < x.columns(); ++c) sum += static_cast<double>(x(r, c)) * static_cast<double>(w(n, c));
      y.view()(r, n) = static_cast<float>(sum);
    }
  return y;
}

/// Factors between 0.25 and 4.
inline std::vector<float> factors(pl::index n, std::uint64_t seed) {
  pl::Random random(seed);
  std::vector<float> values;
  for (pl::index i = 0; i < n; ++i) values.push_back(static_cast<float>(std::exp2(random.uniform() * 4.0 - 2.0)));
  return values;
}

inline std::vector<float> offsets(pl::index n, std::uint64_t seed) {
  pl::Random random(seed);
  std::vector<float> values;
  for (pl::index i = 0; i < n; ++i) values.push_back(static_cast<float>(random.normal()));
  return values;
}

template <class T>
T made(pl::Result<T> result) {
  INFO(std::string(result.status().message()));
  REQUIRE(result.has_value());
  return *std::move(result);
}

inline std::string text(const pl::Status& status) { return std::string(status.message()); }

/// Kronecker of two random invertible matrices of balanced sizes.
inline pl::Kronecker<pl::Dense, pl::Dense> random_kronecker(pl::index n, std::uint64_t seed) {
  const auto [n1, n2] = pl::kronecker_factors(n);
  return {pl::Dense::random(n1, seed), pl::Dense::random(n2, seed + 1)};
}

}  // namespace samples
