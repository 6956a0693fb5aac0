// FlatQuant on a block of your own: write its forward pass once in tape operations. This one is no Llama: LayerNorm,
// two layers with biases around a GELU, and a residual.
#include <cstdio>
#include <vector>

#include <planish/calibration.hpp>
#include <planish/calibration/tape/activation.hpp>
#include <planish/calibration/tape/norm.hpp>

namespace pl = planish;
namespace cal = planish::calibration;
namespace tape = planish::calibration::tape;

namespace {

using Matrix = std::vector<float>;
using Variable = tape::Variable<float>;
constexpr pl::index tokens = 128, hidden = 32, ffn = 80;

struct Block {
  Matrix gain, shift, w1, b1, w2, b2;

  explicit Block(pl::Random& random)
      : gain(hidden, 1.0f), shift(hidden, 0.0f), w1(ffn * hidden), b1(ffn), w2(hidden * ffn), b2(hidden) {
    gain[5] = 20.0f;  // one loud channel
    for (Matrix* m : {&w1, &b1, &w2, &b2})
      for (float& value : *m) value = static_cast<float>(0.2 * random.normal());
  }

  /// x + w2 gelu(w1 norm(x) + b1) + b2; `input(site, x)` and `weights(layer)` say what is quantized.
  template <class Input, class Weights>
  Variable forward(tape::Tape<float>& on, Variable x, Input&& input, Weights&& weights) const {
    const auto row = [&](const Matrix& m) { return on.constant({m.data(), 1, static_cast<pl::index>(m.size())}); };
    const Variable normed = tape::layer_norm(x, row(gain), row(shift), 1e-5f);
    const Variable inner = tape::multiply_transposed(input(0, normed), weights(0));
    const Variable active = tape::gelu(tape::add_to_rows(inner, row(b1)));
    const Variable outer = tape::multiply_transposed(input(1, active), weights(1));
    return tape::add(x, tape::add_to_rows(outer, row(b2)));
  }
};

}  // namespace

int main() {
  pl::Random random(11);
  const Block block(random);
  Matrix x(static_cast<std::size_t>(tokens * hidden));
  for (float& value : x) value = static_cast<float>(random.normal());
  const pl::MatrixView<const float> inputs(x.data(), tokens, hidden);
  const pl::MatrixView<const float> w[] = {{block.w1.data(), ffn, hidden}, {block.w2.data(), hidden, ffn}};

  // The teacher: the float block.
  tape::Tape<float> on;
  const Variable exact = block.forward(
      on, on.constant(inputs), [](int, Variable v) { return v; }, [&](int layer) { return on.constant(w[layer]); });
  const Matrix target(exact.value().data(), exact.value().data() + x.size());
  on.clear();

  // The student: two sites and the layers that read them, 4-bit weights and activations.
  const cal::FlatQuant method{.epochs = 200};
  cal::ParameterSet<float> parameters;
  const cal::SiteDescription descriptions[] = {
      {.name = "norm", .left = 4, .right = 8, .activation_bits = 4},
      {.name = "gelu", .left = 8, .right = 10, .activation_bits = 4, .has_scale = false}};  // GELU takes no diagonal
  std::vector<cal::LearnedSite<float>> sites;
  std::vector<cal::LearnedLinear<float>> layers;
  for (int i = 0; i < 2; ++i) {
    sites.emplace_back(parameters, descriptions[i], std::vector<float>{}, method, static_cast<std::uint64_t>(i));
    layers.emplace_back(parameters, "layer" + std::to_string(i), w[i], 4, 0, method);
  }
  const auto loss = [&](pl::index) {
    for (auto& site : sites) site.record(on);
    const Variable weights[] = {layers[0].record(on, sites[0]), layers[1].record(on, sites[1])};
    const Variable y = block.forward(
        on, on.constant(inputs),
        [&](int i, Variable v) {
          const auto& site = sites[static_cast<std::size_t>(i)];
          return site.quantize(site.transform(v), 0);
        },
        [&](int layer) { return weights[layer]; });
    return cal::record_loss(method, y, pl::MatrixView<const float>(target.data(), tokens, hidden));
  };
  const auto report = cal::learn(parameters, on, {.epochs = method.epochs, .learning_rate = method.learning_rate}, loss,
                                 [](const cal::LearnProgress&) { return true; });
  if (!report) {
    std::printf("%s\n", std::string(report.status().message()).c_str());
    return 1;
  }
  std::printf("block error %.4f -> %.4f\n", report->loss_before, report->loss_after);
  return report->loss_after < 0.6 * report->loss_before ? 0 : 1;
}
