// A transform flattens activations, its dual goes into the weights, and the product stays what it was.
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;

int main() {
  const pl::index tokens = 16, in = 576, out = 64;
  pl::Random random(3);
  std::vector<float> x(static_cast<std::size_t>(tokens * in)), w(static_cast<std::size_t>(out * in));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(random.normal() * (i % 97 == 5 ? 50.0 : 1.0));  // outlier channels
  for (float& value : w) value = static_cast<float>(0.05 * random.normal());

  // Left to right, as the data flows: scale the channels, then mix them by a Kronecker of two small matrices.
  std::vector<float> c(static_cast<std::size_t>(in));
  for (float& factor : c) factor = static_cast<float>(0.5 + random.uniform());
  const auto [n1, n2] = pl::kronecker_factors(in);
  const auto flatten =
      pl::Transform{pl::Scale{c}, pl::Kronecker{pl::Rotation::random(n1, 4), pl::Rotation::random(n2, 5)}};

  std::vector<float> flat(x.size()), scratch(static_cast<std::size_t>(flatten.scratch_size(tokens)));
  flatten.apply(pl::MatrixView<const float>(x.data(), tokens, in), pl::MatrixView<float>(flat.data(), tokens, in),
                std::span<float>(scratch));

  // The law: T(x) · (W A⁻ᵀ)ᵀ = x · Wᵀ. Folding happens in float64.
  std::vector<double> folded(w.begin(), w.end());
  if (!pl::fold_into_weights(flatten, pl::MatrixView<double>(folded.data(), out, in))) return 1;

  double worst = 0.0, largest = 0.0;
  for (std::size_t t = 0; t < 16; ++t)
    for (std::size_t o = 0; o < 64; ++o) {
      double before = 0.0, after = 0.0;
      for (std::size_t i = 0; i < 576; ++i) {
        before += static_cast<double>(x[t * 576 + i]) * static_cast<double>(w[o * 576 + i]);
        after += static_cast<double>(flat[t * 576 + i]) * folded[o * 576 + i];
      }
      worst = std::fmax(worst, std::fabs(after - before));
      largest = std::fmax(largest, std::fabs(before));
    }

  const auto peak = [](const std::vector<float>& values) {  // largest value over the root mean square
    double square = 0.0, most = 0.0;
    for (float value : values) {
      square += static_cast<double>(value * value);
      most = std::fmax(most, std::fabs(static_cast<double>(value)));
    }
    return most / std::sqrt(square / static_cast<double>(values.size()));
  };
  std::printf("%td channels as %td x %td: peak %.1f before, %.1f after; products differ by %.1e\n", in, n1, n2, peak(x),
              peak(flat), worst / largest);
  return worst < 1e-5 * largest && peak(flat) < 0.5 * peak(x) ? 0 : 1;
}
