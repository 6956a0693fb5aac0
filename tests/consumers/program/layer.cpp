// What every consumer builds and runs: quantizes one layer, runs it, and compares with numbers that are known exactly.
// Needs neither exceptions nor RTTI.
#include "layer.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;
using W8 = pl::Quantizer<8, pl::PerChannel>;
using A8 = pl::Quantizer<8, pl::PerToken>;

namespace {

struct Shape {
  static constexpr pl::index rows = 3, in = 96, out = 40;
};

/// The largest difference between the layer's outputs and the exact product, or -1 with a sentence printed.
template <class Layer>
double largest_difference(const pl::Result<Layer>& layer, pl::MatrixView<const float> x,
                          pl::MatrixView<const float> w) {
  if (!layer) return print_status(layer.status()), -1.0;
  std::vector<float> result(static_cast<std::size_t>(Shape::rows * Shape::out));
  std::vector<std::byte> memory(layer->workspace_size(Shape::rows));
  const pl::MatrixView<float> y(result.data(), Shape::rows, Shape::out);
  if (const pl::Status status = layer->forward(x, y, pl::Workspace(memory)); !status) return print_status(status), -1.0;
  double largest = 0.0;
  for (pl::index r = 0; r < x.rows(); ++r)
    for (pl::index o = 0; o < w.rows(); ++o) {
      double exact = 0.0;
      for (pl::index c = 0; c < x.columns(); ++c) exact += static_cast<double>(x(r, c)) * static_cast<double>(w(o, c));
      largest = std::fmax(largest, std::fabs(static_cast<double>(y(r, o)) - exact));
    }
  return largest;
}

}  // namespace

void print_status(const pl::Status& status) {
  std::printf("%.*s\n", static_cast<int>(status.message().size()), status.message().data());
}

bool layer_is_right() {
  // Whole numbers whose rows reach 127: every scale is 1, every product exact, on every instruction set.
  constexpr pl::index rows = Shape::rows, in = Shape::in, out = Shape::out;
  std::array<float, rows * in> x{};
  std::array<float, out * in> w{};
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % in == 0 ? 127.0f : static_cast<float>(i * 37 % 211) - 105.0f;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = i % in == 5 ? -127.0f : static_cast<float>(i * 53 % 199) - 99.0f;
  const pl::MatrixView<const float> input(x.data(), rows, in), weights(w.data(), out, in);

  const double plain =
      largest_difference(pl::QuantizedLinear<W8, A8>::make(weights, {}, pl::Identity(in)), input, weights);
  const auto hadamard = pl::Hadamard::make(in, 1);
  if (!hadamard) return print_status(hadamard.status()), false;
  const double turned =
      largest_difference(pl::QuantizedLinear<W8, A8, pl::Hadamard>::make(weights, {}, *hadamard), input, weights);
  std::printf("planish %d.%d.%d %s, %s: off by %g, behind a Hadamard transform by %.0f of some 60000\n",
              pl::version.major, pl::version.minor, pl::version.patch, pl::abi_name, pl::DefaultBackend::name, plain,
              turned);
  return plain == 0.0 && turned > 0.0 && turned < 3000.0;
}
