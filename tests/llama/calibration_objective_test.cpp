// What a block's learning makes small, and from which inputs: weight, layer, module and block objectives; quantized
// prefixes; rounding by GPTQ behind it.
#include <doctest/doctest.h>

#include "block_fixture.hpp"
#include "llama/calibration/objective.hpp"
#include "llama/thread_pool.hpp"
#include "small_job.hpp"

namespace llama::test {
namespace {

using planish::calibration::FlatQuant;

constexpr Objective objectives[] = {Objective::weight, Objective::layer, Objective::module, Objective::block};

TEST_CASE("without rounding and clips every objective is zero, whatever the transforms are") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves})
    for (const Objective objective : objectives) {
      CAPTURE(to_string(objective));
      const Fixture<double> f(pairs, "w4a4+flatquant");
      FlatQuant method;
      method.learns_clip = false;
      method.rounds = false;
      LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config), 5);
      disturb(block, 0.05);
      const std::vector<double> target = f.teacher();
      tape::Tape<double> on;
      block.record(on);
      const auto loss = record_objective(objective, method, f.weights, f.graph(), block, f.input(on),
                                         {target.data(), window * windows, f.config.hidden_size});
      CHECK(std::fabs(loss.value()(0, 0)) < 1e-20);
    }
}

TEST_CASE("the gradient of every objective equals central differences") {
  for (const Objective objective : objectives) {
    CAPTURE(to_string(objective));
    const Fixture<double> f(RotaryPairs::halves);
    FlatQuant method{.loss = planish::calibration::Loss::mean_squared_error};
    method.rounds = false;
    method.clip_logit = 0.4;  // so that clips cut
    LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config), 5);
    disturb(block, 0.03);
    const std::vector<double> target = f.teacher();
    tape::Tape<double> on;
    const auto loss = [&] {
      block.record(on);
      return record_objective(objective, method, f.weights, f.graph(), block, f.input(on),
                              {target.data(), window * windows, f.config.hidden_size});
    };
    check_gradient(block, on, loss, 2);
  }
}

TEST_CASE("every objective learns every kind of recipe that it can see") {
  const TemporaryFolder folder;
  const RandomModel source(31, RotaryPairs::halves);
  int number = 0;
  for (const Objective objective : objectives)
    for (const char* recipe : {"w4a4kv4+flatquant", "w3a16g8+flatquant", "w16a16kv3+flatquant", "w16a4+flatquant"}) {
      CAPTURE(recipe);
      CAPTURE(to_string(objective));
      CalibrationJob job = small_job(source, folder.file(std::to_string(number++)), recipe);
      job.options.objective = objective;
      if (objective == Objective::weight && !job.options.recipe.quantizes_weights()) continue;
      const auto blocks = run(source, job);
      REQUIRE(blocks.size() == 2);
      for (const CalibratedBlock& block : blocks) CHECK(block.report.loss_after < block.report.loss_before);
      ThreadPool pool(3);
      job.parts = folder.file(std::to_string(number++));
      CHECK(same(run(source, job, ExecutorReference(pool)), blocks));
    }
}

TEST_CASE("an objective leaves what it cannot see where it started") {
  const TemporaryFolder folder;
  const RandomModel source(32, RotaryPairs::halves);
  CalibrationJob job = small_job(source, folder.file("weight"), "w4a4kv4+flatquant");
  job.options.objective = Objective::weight;
  const float start = 1.0f / (1.0f + std::exp(-4.0f));
  for (const CalibratedBlock& block : run(source, job)) {
    CHECK(block.parameters.key_cache.positive == doctest::Approx(start).epsilon(1e-6));
    CHECK(block.parameters.clips[0].activation.positive == doctest::Approx(start).epsilon(1e-6));
    CHECK(block.parameters.clips[0].weight_rows.front().positive != doctest::Approx(start).epsilon(1e-4));
  }
}

TEST_CASE("inputs from the quantized prefix: other parameters behind the first block, the same after a stop") {
  const TemporaryFolder folder;
  const RandomModel source(33, RotaryPairs::interleaved);
  const auto plain = run(source, small_job(source, folder.file("float"), "w4a4kv4+flatquant"));
  for (const Inputs inputs : {Inputs::quantized, Inputs::mixed}) {
    CAPTURE(to_string(inputs));
    CalibrationJob job = small_job(source, folder.file(std::string(to_string(inputs))), "w4a4kv4+flatquant");
    job.options.inputs = inputs;
    const auto whole = run(source, job);
    CHECK(whole[0].parameters == plain[0].parameters);
    CHECK_FALSE(whole[1].parameters == plain[1].parameters);
    for (const CalibratedBlock& block : whole) CHECK(block.report.loss_after < block.report.loss_before);

    job.parts = folder.file(std::string(to_string(inputs)) + " stopped");
    int steps = 0;
    CHECK_THROWS_AS(calibrate(source, job, {}, [&] { return steps++ >= 14; }), Interrupted);
    ThreadPool pool(2);
    CHECK(same(run(source, job, ExecutorReference(pool)), whole));

    job.parts = folder.file(std::string(to_string(inputs)) + " apart");
    job.first_layer = 1;
    CHECK_THROWS_WITH_AS(calibrate(source, job, {}, [] { return false; }),
                         "random model: layer 0 was not learned yet, and the blocks behind it read what it makes",
                         Error);
  }
}

TEST_CASE("GPTQ behind the learning: its codes, from moments of the float or of the quantized prefix") {
  const TemporaryFolder folder;
  const RandomModel source(34, RotaryPairs::halves);
  const CalibrationJob nearest = small_job(source, folder.file("nearest"), "w3a8kv4+flatquant");
  const auto blocks = run(source, nearest);
  const auto codes_of = [&](std::string_view recipe, Inputs inputs) {
    CalibrationOptions options = nearest.options;
    options.recipe = require(parse_recipe(recipe));
    options.rounding_inputs = inputs;
    CalibratedLayers layers(source, nearest.windows, options, false, {});
    std::vector<std::vector<std::uint8_t>> codes;
    for (const CalibratedBlock& block : blocks) {
      BlockParameters built = layers.build(block.parameters);
      for (const LinearParameters& linear : built.linears)
        codes.emplace_back(linear.codes->view().codes,
                           linear.codes->view().codes + linear.codes->view().rows * linear.codes->view().columns);
      layers.advance(std::move(built));
    }
    return codes;
  };
  const auto plain = codes_of("w3a8kv4+flatquant", Inputs::plain);
  const auto gptq = codes_of("w3a8kv4+flatquant+gptq", Inputs::plain);
  const auto prefix = codes_of("w3a8kv4+flatquant+gptq", Inputs::quantized);
  CHECK(plain != gptq);
  const std::size_t half = gptq.size() / 2;
  for (std::size_t i = 0; i < half; ++i) CHECK(prefix[i] == gptq[i]);  // nothing is quantized before the first block
  CHECK(prefix != gptq);

  // The same as statistics collected beforehand.
  CalibrationPass pass(source, nearest.windows, {});
  const BuildOptions build{.recipe = require(parse_recipe("w3a8kv4+flatquant+gptq")),
                           .learned = [&](index layer) { return blocks[static_cast<std::size_t>(layer)].parameters; }};
  std::size_t at = 0;
  for (index layer = 0; layer < 2; ++layer) {
    const BlockParameters built = build_layer(
        source, layer, build,
        [&](index, const LayerWeights& weights) { return pass.next(weights, detail_for(build.recipe)); }, {});
    for (const LinearParameters& linear : built.linears) {
      const auto view = linear.codes->view();
      CHECK(gptq[at++] == std::vector<std::uint8_t>(view.codes, view.codes + view.rows * view.columns));
    }
  }
}

}  // namespace
}  // namespace llama::test
