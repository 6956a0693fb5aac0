// A stage of your own: four functions, no base class. Folding, fusing and composing come with it.
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/linear/any.hpp>
#include <planish/planish.hpp>

namespace pl = planish;

/// Turns neighbouring channels by a fixed angle: a rotation, so it is its own dual.
class TurnPairs {
 public:
  TurnPairs(pl::index size, double angle) : size_(size), cosine_(std::cos(angle)), sine_(std::sin(angle)) {}

  pl::index size() const { return size_; }
  pl::index scratch_size(pl::index /*rows*/) const { return 0; }

  template <class T>
  void apply(pl::MatrixView<const T> x, pl::MatrixView<T> y, std::span<T> /*scratch*/) const {
    const T c = static_cast<T>(cosine_), s = static_cast<T>(sine_);
    for (pl::index r = 0; r < x.rows(); ++r)
      for (pl::index i = 0; i + 1 < size_; i += 2) {
        y(r, i) = c * x(r, i) - s * x(r, i + 1);
        y(r, i + 1) = s * x(r, i) + c * x(r, i + 1);
      }
  }

  TurnPairs dual() const { return *this; }

 private:
  pl::index size_;  // even
  double cosine_, sine_;
};
static_assert(pl::TransformStage<TurnPairs>);

int main() {
  const pl::index tokens = 8, n = 64, out = 32;
  pl::Random random(10);
  std::vector<float> x(static_cast<std::size_t>(tokens * n)), w(static_cast<std::size_t>(out * n)),
      y(static_cast<std::size_t>(tokens * out)), factors(static_cast<std::size_t>(n), 2.0f);
  for (float& value : x) value = static_cast<float>(random.normal());
  for (float& value : w) value = static_cast<float>(random.normal());

  const auto flatten = pl::Transform{pl::Scale{factors}, TurnPairs(n, 0.7)};
  using Flatten = std::remove_const_t<decltype(flatten)>;
  const auto linear =
      pl::QuantizedLinear<pl::Quantizer<8, pl::PerChannel>, pl::Quantizer<8, pl::PerToken>, Flatten>::make(
          pl::MatrixView<const float>(w.data(), out, n), {}, flatten);
  if (!linear) return 1;
  std::vector<std::byte> memory(linear->workspace_size(tokens));
  const pl::Status status = linear->forward(pl::MatrixView<const float>(x.data(), tokens, n),
                                            pl::MatrixView<float>(y.data(), tokens, out), pl::Workspace(memory));
  if (!status) return 1;

  // The same stage where its type is known only at run time.
  const pl::AnyTransform any(flatten);
  double error = 0.0, size = 0.0;
  for (std::size_t t = 0; t < 8; ++t)
    for (std::size_t o = 0; o < 32; ++o) {
      double exact = 0.0;
      for (std::size_t i = 0; i < 64; ++i)
        exact += static_cast<double>(x[t * 64 + i]) * static_cast<double>(w[o * 64 + i]);
      error += (static_cast<double>(y[t * 32 + o]) - exact) * (static_cast<double>(y[t * 32 + o]) - exact);
      size += exact * exact;
    }
  std::printf("%s: %.2f %% from float\n", any.describe().c_str(), 100.0 * std::sqrt(error / size));
  return std::sqrt(error / size) < 0.02 && any.stage_count() == 2 ? 0 : 1;
}
