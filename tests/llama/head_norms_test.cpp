// RMSNorm of queries and keys, head by head before RoPE, wherever a block runs: in the kernels, on the tape, in what
// calibration learns and in what an artefact keeps.
#include <doctest/doctest.h>

#include "block_fixture.hpp"
#include "fixtures.hpp"
#include "llama/calibration/export_parameters.hpp"
#include "llama/calibration/objective.hpp"
#include "llama/model_artefact.hpp"
#include "random_flatquant.hpp"
#include "small_job.hpp"

namespace llama::test {
namespace {

using planish::calibration::FlatQuant;

Config normed(RotaryPairs pairs) {
  Config config = RandomModel::small(pairs);
  config.head_norms = true;
  return config;
}

TEST_CASE("head norms: the tape's float block is the run-time float block, and differs from one without norms") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const Fixture<float> f(normed(pairs));
    const auto y = run_block(f.config, float_parameters(f.config, f.layer), planish::SiteMode::packed, f.hidden);
    CHECK(relative_difference(f.teacher(), y) < 2e-6);
    BlockParameters without = float_parameters(f.config, f.layer);
    without.query_gain.clear();
    CHECK(relative_difference(run_block(f.config, std::move(without), planish::SiteMode::packed, f.hidden), y) > 1e-3);
  }
}

TEST_CASE("head norms: every objective is zero without rounding, and its gradient equals central differences") {
  for (const Objective objective : {Objective::weight, Objective::layer, Objective::module, Objective::block}) {
    CAPTURE(to_string(objective));
    for (const bool clips : {false, true}) {
      const Fixture<double> f(normed(RotaryPairs::halves), clips ? "w4a4kv4+flatquant" : "w4a4+flatquant");
      FlatQuant method{.loss = planish::calibration::Loss::mean_squared_error};
      method.rounds = false;
      method.learns_clip = clips;
      method.clip_logit = 0.4;
      LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config), 5);
      disturb(block, 0.03);
      const std::vector<double> target = f.teacher();
      tape::Tape<double> on;
      const auto loss = [&] {
        block.record(on);
        return record_objective(objective, method, f.weights, f.graph(), block, f.input(on),
                                {target.data(), window * windows, f.config.hidden_size});
      };
      if (clips) {
        check_gradient(block, on, loss, 2);
      } else {
        CHECK(std::fabs(loss().value()(0, 0)) < 1e-20);
      }
    }
  }
}

TEST_CASE("head norms: what was learned runs in the real kernels") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const Fixture<float> f(normed(pairs), "w8a8kv8+flatquant");
    const FlatQuant method;
    LearnedBlock<float> block(f.config, f.weights, f.recipe, method, ones(f.config), 5);
    disturb(block, 0.03);
    tape::Tape<float> on;
    block.record(on);
    const auto y = f.forward(on, block).value();
    const std::vector<float> learned(y.data(), y.data() + y.size());
    const FlatQuantParameters parameters = export_parameters(f.config, block);
    const BuildOptions options{.recipe = f.recipe, .learned = [&](index) { return parameters; }};
    for (auto mode : {planish::SiteMode::packed, planish::SiteMode::fake})
      CHECK(relative_difference(run_block(f.config, first_layer(f.source, options), mode, f.hidden), learned) < 0.01);
  }
}

TEST_CASE("head norms: a whole calibration makes the loss of every block smaller") {
  const TemporaryFolder folder;
  const RandomModel source(45, normed(RotaryPairs::halves), /*biases=*/false);
  const CalibrationJob job = small_job(source, folder.file("parts"), "w4a4kv4+flatquant");
  const auto blocks = run(source, job);
  REQUIRE(blocks.size() == 2);
  for (const CalibratedBlock& block : blocks) CHECK(block.report.loss_after < block.report.loss_before);
}

TEST_CASE("head norms: stages on keys cancel, and an artefact gives the same logits") {
  const TemporaryFolder folder;
  const auto source = std::make_shared<RandomModel>(44, normed(RotaryPairs::halves), /*biases=*/false);
  const auto ids = random_ids(8, 21, 97);
  const std::vector<float> exact = logits_of(model_of(source, "fp32"), ids, 5);
  for (const char* stages : {"+hadamard", "+kronecker", "+scale+hadamard"})
    CHECK(relative_difference(logits_of(model_of(source, std::string("w8a8kv8") + stages), ids, 5), exact) < 0.1);

  const Recipe recipe = require(parse_recipe("w4a4kv4+hadamard"));
  ArtefactOutput out(*source, recipe);
  std::vector<Block> blocks;
  for (index layer = 0; layer < 2; ++layer) {
    BlockParameters parameters = build_layer(*source, layer, {.recipe = recipe}, {}, {});
    out.add_layer(layer, parameters);
  }
  out.write(folder.file("m.planish"));
  const ArtefactInput in(folder.file("m.planish"), *source);
  for (index layer = 0; layer < 2; ++layer) {
    const BlockParameters back = in.layer(layer);
    CHECK(back.query_gain == source->values(layer_tensor(layer, "q_norm")));
    CHECK(back.key_gain == source->values(layer_tensor(layer, "k_norm")));
    blocks.emplace_back(source->config(), in.layer(layer), planish::SiteMode::packed, "block");
  }
  const Model model(source, std::move(blocks), source->read("norm", {1, 40}),
                    std::make_shared<const Head>(*source, 16));
  CHECK(logits_of(model, ids, 5) == logits_of(model_of(source, "w4a4kv4+hadamard"), ids, 5));
}

}  // namespace
}  // namespace llama::test
