// The block that learns: its forward pass, its gradient, and what it exports.
#include <utility>

#include <doctest/doctest.h>

#include "block_fixture.hpp"
#include "llama/calibration/export_parameters.hpp"
#include "random_flatquant.hpp"

namespace llama::test {
namespace {

using planish::calibration::FactorForm;
using planish::calibration::FactorStart;
using planish::calibration::FlatQuant;
using planish::calibration::ScaleForm;

TEST_CASE("the tape's float block is the run-time float block") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const Fixture<float> f(pairs);
    const auto y = run_block(f.config, float_parameters(f.config, f.layer), planish::SiteMode::packed, f.hidden);
    CHECK(relative_difference(f.teacher(), y) < 2e-6);
  }
}

TEST_CASE("without rounding and clips, every form and start of a learned block computes what the float block does") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    for (FactorForm form : {FactorForm::free, FactorForm::svd})
      for (FactorStart start : {FactorStart::hadamard, FactorStart::haar, FactorStart::cayley, FactorStart::identity}) {
        // The whole zero point of cached keys and values cuts ends even without rounding: they stay float here.
        const Fixture<double> f(pairs, "w4a4+flatquant");
        FlatQuant method{.factor_form = form, .factor_start = start};
        method.learns_clip = false;
        method.rounds = false;
        const bool centred = start == FactorStart::hadamard || start == FactorStart::cayley;
        LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config, centred), 5);
        planish::Random random(7);
        for (auto& m : block.parameters().members())
          for (double& value : m.values) value += 0.05 * random.normal();
        tape::Tape<double> on;
        block.record(on);
        const auto y = f.forward(on, block).value();
        const std::vector<double> exact = f.teacher();
        double largest = 0.0, difference = 0.0;
        for (std::size_t i = 0; i < exact.size(); ++i) {
          largest = std::max(largest, std::fabs(exact[i]));
          difference = std::max(difference, std::fabs(exact[i] - y.data()[i]));
        }
        CHECK(difference < 1e-10 * largest);
      }
}

TEST_CASE("the gradient of a whole block equals central differences, of every parameter") {
  for (const auto& [published, centred] : {std::pair{false, false}, std::pair{true, false}, std::pair{false, true}}) {
    CAPTURE(published);
    CAPTURE(centred);
    const Fixture<double> f(RotaryPairs::interleaved);
    FlatQuant method = published ? FlatQuant::published() : FlatQuant{};
    method.rounds = false;
    method.clip_logit = 0.4;  // so that clips cut
    LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config, centred), 5);
    disturb(block, 0.03);
    const std::vector<double> target = f.teacher();
    tape::Tape<double> on;
    const auto loss = [&] {
      block.record(on);
      return tape::mean_squared_error(f.forward(on, block),
                                      MatrixView<const double>(target.data(), window * windows, f.config.hidden_size));
    };
    check_gradient(block, on, loss, 3);
  }
}

TEST_CASE("what was learned runs in the real kernels: the block of the tape and the packed block agree") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    for (const auto& [published, centred] : {std::pair{false, false}, std::pair{true, false}, std::pair{false, true}}) {
      CAPTURE(published);
      CAPTURE(centred);
      const Fixture<float> f(pairs, "w8a8kv8+flatquant");  // at 8 bits a flipped rounding moves little
      const FlatQuant method = published ? FlatQuant::published() : FlatQuant{};
      LearnedBlock<float> block(f.config, f.weights, f.recipe, method, ones(f.config, centred), 5);
      planish::Random random(11);
      for (auto& m : block.parameters().members())
        for (float& value : m.values) value += 0.03f * static_cast<float>(random.normal());
      tape::Tape<float> on;
      block.record(on);
      const auto y = f.forward(on, block).value();
      const std::vector<float> learned(y.data(), y.data() + y.size());
      const FlatQuantParameters parameters = export_parameters(f.config, block);
      const BuildOptions options{.recipe = f.recipe, .learned = [&](index) { return parameters; }};
      for (auto mode : {planish::SiteMode::packed, planish::SiteMode::fake})
        CHECK(relative_difference(run_block(f.config, first_layer(f.source, options), mode, f.hidden), learned) < 0.01);
      CHECK(relative_difference(f.teacher(), learned) > 1e-4);
    }
}

}  // namespace
}  // namespace llama::test
