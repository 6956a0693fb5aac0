// Weights that learn what they are rounded to: their gradient, what is exported, and that the model has these codes.
#include <utility>

#include <doctest/doctest.h>

#include "block_fixture.hpp"
#include "llama/calibration/calibrated_layers.hpp"
#include "llama/calibration/export_parameters.hpp"
#include "llama/thread_pool.hpp"
#include "random_flatquant.hpp"
#include "small_job.hpp"

namespace llama::test {
namespace {

using planish::calibration::FlatQuant;

CalibrationJob weight_job(const WeightSource& source, const std::string& parts,
                          std::string_view recipe = "w3a8kv4+flatquant") {
  CalibrationJob job = small_job(source, parts, recipe);
  job.options.method.weight_epochs = 4;
  job.options.method.weight_rate = 0.01;
  return job;
}

TEST_CASE("the gradient of weights that learn equals central differences") {
  for (const char* recipe : {"w4a4kv4+flatquant", "w4a4kv4g8+flatquant"}) {
    CAPTURE(recipe);
    const Fixture<double> f(RotaryPairs::interleaved, recipe);
    FlatQuant method;
    method.rounds = false;
    method.clip_logit = 0.4;  // so that clips cut
    LearnedBlock<double> block(f.config, f.weights, f.recipe, method, ones(f.config), 5);
    disturb(block, 0.03);
    const std::vector<double> target = f.teacher();
    tape::Tape<double> on;
    block.learn_weights(on);
    const auto loss = [&] {
      block.record(on);
      return tape::mean_squared_error(f.forward(on, block),
                                      MatrixView<const double>(target.data(), window * windows, f.config.hidden_size));
    };
    int learning = 0;
    for (const auto& m : block.parameters().members()) learning += m.learns && !m.row_rates.empty();
    CHECK(learning == static_cast<int>(projections.size()));
    check_gradient(block, on, loss, 5);
  }
}

TEST_CASE("where the weights begin to learn, the block is what it was") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const Fixture<float> f(pairs);
    LearnedBlock<float> block(f.config, f.weights, f.recipe, FlatQuant{}, ones(f.config), 5);
    disturb(block, 0.03);
    tape::Tape<float> on;
    const auto output = [&] {
      block.record(on);
      const auto y = f.forward(on, block).value();
      std::vector<float> values(y.data(), y.data() + y.size());
      on.clear();
      return values;
    };
    const std::vector<float> before = output();
    block.learn_weights(on);
    CHECK(output() == before);
  }
}

TEST_CASE("the model has the very codes that were learned, in both orders of RoPE, in pieces of --inputs too") {
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const TemporaryFolder folder;
    const RandomModel source(35, pairs);
    const CalibrationJob job = weight_job(source, folder.file("parts"));
    const auto blocks = run(source, job);
    CalibratedLayers layers(source, job.windows, job.options, false, {});
    int moved = 0;
    for (const CalibratedBlock& block : blocks) {
      const FlatQuantParameters learned = in_model_order(block.parameters, source.config());
      FlatQuantParameters without = block.parameters;
      without.weights = {};
      CHECK(in_rotate_half_order(learned, source.config()) == block.parameters);
      const BlockParameters built = layers.build(block.parameters), plain = layers.build(without);
      for (Projection p : projections) {
        const auto i = static_cast<std::size_t>(p);
        const auto& weights = learned.weights_of(block_matrix(p));
        const auto view = built.linears[i].codes->view(), nearest = plain.linears[i].codes->view();
        REQUIRE(weights.rows == view.rows);
        REQUIRE(weights.columns == view.columns);
        for (index r = 0; r < view.rows; ++r)
          for (index c = 0; c < view.columns; ++c) {
            // up takes the scale of down, which is in its own scales and in no code.
            const float ratio =
                p == Projection::up
                    ? learned.transform(planish::calibration::BlockSite::down).scale[static_cast<std::size_t>(r)]
                    : 1.0f;
            const auto at = static_cast<std::size_t>(r * view.columns + c);
            const float is = view.value(r, c), wanted = weights.values[at] * ratio;
            CHECK(std::fabs(is - wanted) <= 1e-6f * std::fabs(wanted));
            moved += view.codes[at] != nearest.codes[at];
          }
      }
      layers.advance(layers.build(block.parameters));
    }
    CHECK(moved > 100);
  }
}

TEST_CASE("learned weights bring the loss further down than the same passes of transforms, and a stop changes no bit") {
  const TemporaryFolder folder;
  const RandomModel source(36, RotaryPairs::interleaved);
  const auto weights = run(source, weight_job(source, folder.file("whole")));
  CalibrationJob transforms = weight_job(source, folder.file("transforms"));
  transforms.options.method.epochs += std::exchange(transforms.options.method.weight_epochs, 0);
  const auto plain = run(source, transforms);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CHECK(weights[i].report.step_losses.size() == 28);
    CHECK(weights[i].report.loss_after < 0.9 * plain[i].report.loss_after);
    CHECK(plain[i].parameters.weights_of(planish::calibration::BlockMatrix::key).empty());
  }
  CalibrationJob job = weight_job(source, folder.file("stopped"));
  for (int limit : {20, 5, 40, 27}) {
    int steps = 0;
    CHECK(contains(message_of([&] { calibrate(source, job, {}, [&] { return steps++ >= limit; }); }),
                   "the same command goes on there"));
  }
  ThreadPool pool(3);
  CHECK(same(run(source, job, ExecutorReference(pool)), weights));

  job.options.method.weight_rate = 0.04;
  CHECK(contains(message_of([&] { run(source, job); }), "belongs to another calibration"));
}

TEST_CASE("blocks that read the quantized prefix read learned weights, and go on after a stop") {
  const TemporaryFolder folder;
  const RandomModel source(37, RotaryPairs::halves);
  CalibrationJob job = weight_job(source, folder.file("whole"));
  const auto plain = run(source, job);
  job.options.weight_inputs = Inputs::quantized;  // transforms still learn from the float model's
  CHECK_FALSE(job.options.blocks_are_independent());
  job.parts = folder.file("quantized");
  const auto whole = run(source, job);
  CHECK(whole[0].parameters == plain[0].parameters);  // nothing is quantized before it
  CHECK(whole[1].parameters.transforms == plain[1].parameters.transforms);
  CHECK_FALSE(whole[1].parameters.weights == plain[1].parameters.weights);
  // Losses of other inputs are no measure of what was learned; the report says how far they are apart.
  CHECK(plain[1].report.change_of_inputs == 1.0);
  CHECK(whole[0].report.change_of_inputs == doctest::Approx(1.0).epsilon(1e-4));
  CHECK(whole[1].report.change_of_inputs > 1.01);
  for (const CalibratedBlock& block : whole) CHECK(block.report.loss_after < block.report.comparable_before());
  job.parts = folder.file("stopped");
  int steps = 0;
  CHECK_THROWS_AS(calibrate(source, job, {}, [&] { return steps++ >= 40; }), Interrupted);
  CHECK(same(run(source, job), whole));

  FlatQuantParameters without = whole[0].parameters;
  without.weights = {};
  const auto inputs_behind = [&](const FlatQuantParameters& first) {
    CalibratedLayers made(source, job.windows, job.options, true, {});
    made.advance(made.build(first));
    const auto view = made.inputs();
    return std::vector<float>(view.data(), view.data() + view.size());
  };
  CHECK(inputs_behind(whole[0].parameters) != inputs_behind(without));

  // The quantized model that runs along has activations of its own.
  BlockCalibration beside(source, job.windows, job.options, {}, {});
  job.options.weight_inputs = Inputs::plain;
  BlockCalibration alone(source, job.windows, job.options, {}, {});
  REQUIRE(beside.go_to(0));
  REQUIRE(alone.go_to(0));
  CHECK(2 * beside.activation_bytes() == 3 * alone.activation_bytes());
  CHECK(alone.activation_bytes() > 0);
}

TEST_CASE("matrices of float and matrices in groups go along") {
  const TemporaryFolder folder;
  const RandomModel source(38, RotaryPairs::halves);
  const auto grouped = run(source, weight_job(source, folder.file("groups"), "w3a16g8+flatquant"));
  for (const CalibratedBlock& block : grouped) CHECK(block.report.loss_after < block.report.loss_before);
  const auto cache = run(source, weight_job(source, folder.file("cache"), "w16a16kv3+flatquant"));
  for (const CalibratedBlock& block : cache)
    for (const auto& weights : block.parameters.weights) CHECK(weights.empty());
}

}  // namespace
}  // namespace llama::test
