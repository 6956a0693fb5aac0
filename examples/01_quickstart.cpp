// Quantize a weight matrix to 4 bits, look at what was lost, and get the values back.
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;

int main() {
  pl::Random random(1);
  std::vector<float> values(256 * 512);  // out × in
  for (float& value : values) value = static_cast<float>(0.02 * random.normal());
  const pl::MatrixView<const float> weights(values.data(), 256, 512);

  using W4 = pl::Quantizer<4, pl::PerChannel>;  // symmetric unless said otherwise
  const auto codes = W4{}.quantize(weights);    // a value: codes + scales
  const auto back = codes.dequantize();

  double signal = 0.0, noise = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(back.span()[i] - values[i]);
    signal += static_cast<double>(values[i] * values[i]);
    noise += error * error;
  }
  const double decibel = 10.0 * std::log10(signal / noise);
  std::printf("%.1f dB of signal to noise in %.2f bits per weight\n", decibel,
              8.0 * static_cast<double>(codes.size_bytes()) / static_cast<double>(values.size()));
  return decibel > 17.0 && decibel < 22.0 ? 0 : 1;
}
