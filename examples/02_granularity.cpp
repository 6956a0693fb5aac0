// Bits, granularity, symmetry and range are parts that combine: here on a matrix with one channel of outliers.
#include <cmath>
#include <cstdio>
#include <vector>

#include <planish/planish.hpp>

namespace pl = planish;

/// Signal to noise in decibel.
template <class Quantizer>
double quality(const char* what, const Quantizer& quantizer, pl::MatrixView<const float> x) {
  const auto codes = quantizer.quantize(x);
  double signal = 0.0, noise = 0.0;
  for (pl::index r = 0; r < x.rows(); ++r)
    for (pl::index c = 0; c < x.columns(); ++c) {
      const double error = static_cast<double>(codes.value(r, c) - x(r, c));
      signal += static_cast<double>(x(r, c) * x(r, c));
      noise += error * error;
    }
  const double decibel = 10.0 * std::log10(signal / noise);
  std::printf("%-44s %5.1f dB  %8zu bytes\n", what, decibel, codes.size_bytes());
  return decibel;
}

int main() {
  pl::Random random(2);
  std::vector<float> values(64 * 512);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random.normal() * (i % 512 == 100 ? 8.0 : 1.0) + 0.5);
  const pl::MatrixView<const float> x(values.data(), 64, 512);

  using K3 = pl::Quantizer<3, pl::PerHead, pl::Asymmetric>;
  const double tensor = quality("4 bits, one scale", pl::Quantizer<4, pl::PerTensor>{}, x);
  const double token = quality("4 bits, a scale per token", pl::Quantizer<4, pl::PerToken>{}, x);
  const double group = quality("4 bits, a scale per 32 columns", pl::Quantizer<4, pl::PerGroup<32>>{}, x);
  const double zero =
      quality("4 bits, 32 columns, with a zero point", pl::Quantizer<4, pl::PerGroup<32>, pl::Asymmetric>{}, x);
  const double dynamic = quality("the same, group size known at run time",
                                 pl::Quantizer<4, pl::PerGroup<>, pl::Asymmetric>{.group_size = 32}, x);
  const double clipped =
      quality("4 bits per token, clipped to three quarters", pl::Quantizer<4, pl::PerToken>{.clip = {0.75f, 0.75f}}, x);
  const double shrunk =
      quality("4 bits per token, range searched", pl::Quantizer<4, pl::PerToken, pl::Symmetric, pl::MseShrink>{}, x);
  const double head = quality("3 bits per head, with a zero point", K3{}, x);
  quality("4 bits per channel, as GPTQ prints it", pl::Quantizer<4, pl::PerChannel, pl::policies::GptqSymmetric>{}, x);
  return tensor < token && token < group && group < zero && zero == dynamic && token < clipped && token < shrunk &&
                 head < zero
             ? 0
             : 1;
}
