// A whole quantized layer: fold, quantize and pack once; then transform, quantize, multiply and rescale per call.
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;

using W4 = pl::Quantizer<4, pl::PerChannel>;
using A4 = pl::Quantizer<4, pl::PerToken>;

/// Runs a layer and says how far it is from the float product, relative to its size.
template <class Linear>
double error_of(const char* what, const pl::Result<Linear>& made, pl::MatrixView<const float> x,
                const std::vector<double>& exact) {
  if (!made) {
    std::printf("%s\n", made.status().message().data());
    return 1e9;
  }
  const Linear& linear = *made;
  std::vector<float> y(static_cast<std::size_t>(x.rows() * linear.rows()));
  std::vector<std::byte> memory(linear.workspace_size(x.rows()));  // the host's; forward allocates nothing
  const pl::Status status =
      linear.forward(x, pl::MatrixView<float>(y.data(), x.rows(), linear.rows()), pl::Workspace(memory));
  double error = 0.0, size = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double difference = static_cast<double>(y[i]) - exact[i];
    error += difference * difference;
    size += exact[i] * exact[i];
  }
  std::printf("%-22s %6.2f %% error, %5.2f bits per weight\n  %s\n", what, 100.0 * std::sqrt(error / size),
              linear.bits_per_weight(), linear.describe().c_str());
  return status ? std::sqrt(error / size) : 1e9;
}

int main() {
  const pl::index tokens = 32, in = 576, out = 128;
  pl::Random random(6);
  std::vector<float> activations(static_cast<std::size_t>(tokens * in)), matrix(static_cast<std::size_t>(out * in)),
      bias(static_cast<std::size_t>(out), 0.25f);
  for (std::size_t i = 0; i < activations.size(); ++i)
    activations[i] = static_cast<float>(random.normal() * (i % 576 % 97 == 5 ? 30.0 : 1.0));
  for (float& value : matrix) value = static_cast<float>(0.05 * random.normal());
  const pl::MatrixView<const float> x(activations.data(), tokens, in), weights(matrix.data(), out, in);
  std::vector<double> exact;
  for (pl::index t = 0; t < tokens; ++t)
    for (pl::index o = 0; o < out; ++o) {
      double sum = 0.25;
      for (pl::index i = 0; i < in; ++i) sum += static_cast<double>(x(t, i)) * static_cast<double>(weights(o, i));
      exact.push_back(sum);
    }

  const auto hadamard = pl::Hadamard::make(in, 7);  // 576 = 36 · 16: any order that can be generated
  if (!hadamard) return 1;
  const double plain =
      error_of("W4A4 round to nearest", pl::QuantizedLinear<W4, A4>::make(weights, bias, pl::Identity(in)), x, exact);
  const double flat =
      error_of("W4A4 + Hadamard", pl::QuantizedLinear<W4, A4, pl::Hadamard>::make(weights, bias, *hadamard), x, exact);
  const double weights_only =
      error_of("W4A16", pl::QuantizedLinear<W4, pl::KeepFloat>::make(weights, bias, pl::Identity(in)), x, exact);
  return flat < 0.6 * plain && weights_only < flat ? 0 : 1;
}
