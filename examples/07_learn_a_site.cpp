// FlatQuant on one site of any network: its input and the weights that read it are all there is to give.
#include <cstdio>
#include <vector>

#include <planish/calibration.hpp>
#include <planish/planish.hpp>

namespace pl = planish;

namespace {

using Matrix = std::vector<float>;
constexpr pl::index tokens = 256, channels = 96, outputs = 64;

/// Mean squared error of y = q((x − z) A) q(W A⁻ᵀ)ᵀ + W z at 4 bits against x Wᵀ, by the real kernels.
double error_of(const Matrix& x, const Matrix& w, const pl::calibration::SiteFit* fit) {
  using W4 = pl::Quantizer<4, pl::PerChannel>;
  using A4 = pl::Quantizer<4, pl::PerToken>;
  Matrix y(static_cast<std::size_t>(tokens * outputs)), exact(y.size());
  const auto measure = [&](const auto& transform, const A4& quantizer) {
    std::vector<double> folded(w.begin(), w.end()), bias(static_cast<std::size_t>(outputs));
    const pl::MatrixView<double> rows(folded.data(), outputs, channels);
    if (!pl::fold_into_weights(transform, rows, bias)) return false;
    if (fit != nullptr && !pl::calibration::clip_rows(rows, fit->weight_clips[0])) return false;
    const auto codes = pl::quantize_weights(pl::MatrixView<const double>(rows), {.bits = 4});
    if (!codes) return false;
    const Matrix kept_bias(bias.begin(), bias.end());
    const auto linear = pl::QuantizedLinear<W4, A4, std::decay_t<decltype(transform)>>::from_codes(
        codes->view(), kept_bias, transform, quantizer);
    if (!linear) return false;
    std::vector<std::byte> workspace(linear->workspace_size(tokens));
    return linear
        ->forward(pl::MatrixView<const float>(x.data(), tokens, channels), {y.data(), tokens, outputs},
                  pl::Workspace(workspace))
        .ok();
  };
  const bool ran = fit == nullptr ? measure(pl::Transform{pl::Identity(channels)}, A4{})
                                  : measure(*fit->stages(), A4{.clip = fit->activation_clips[0]});
  if (!ran) return -1.0;
  double sum = 0.0;
  for (pl::index t = 0; t < tokens; ++t)
    for (pl::index o = 0; o < outputs; ++o) {
      double dot = 0.0;
      for (pl::index c = 0; c < channels; ++c)
        dot += static_cast<double>(x[static_cast<std::size_t>(t * channels + c)]) *
               static_cast<double>(w[static_cast<std::size_t>(o * channels + c)]);
      const double difference = static_cast<double>(y[static_cast<std::size_t>(t * outputs + o)]) - dot;
      sum += difference * difference;
    }
  return sum / static_cast<double>(tokens * outputs);
}

}  // namespace

int main() {
  // Activations as language models have them: a few channels are far larger than the rest, and means are not zero.
  pl::Random random(5);
  Matrix x(static_cast<std::size_t>(tokens * channels)), w(static_cast<std::size_t>(outputs * channels));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(random.normal() * (i % 96 == 7 || i % 96 == 50 ? 30.0 : 1.0) + (i % 3 == 0 ? 2.0 : -1.0));
  for (float& value : w) value = static_cast<float>(0.1 * random.normal());

  const pl::MatrixView<const float> weights(w.data(), outputs, channels);
  const pl::calibration::FlatQuant method{.epochs = 60};
  const auto fit = method.fit({x.data(), tokens, channels}, {&weights, 1}, {.weights = 4, .activations = 4});
  if (!fit) {
    std::printf("%s\n", std::string(fit.status().message()).c_str());
    return 1;
  }
  const double plain = error_of(x, w, nullptr), learned = error_of(x, w, &*fit);
  std::printf("loss %.4f -> %.4f in %zu steps\n", fit->report.loss_before, fit->report.loss_after,
              fit->report.step_losses.size());
  std::printf("error of the outputs, 4-bit weights and activations: round to nearest %.3f, learned %.3f\n", plain,
              learned);
  return learned > 0.0 && learned < 0.5 * plain ? 0 : 1;
}
