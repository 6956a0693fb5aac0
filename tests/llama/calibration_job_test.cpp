// A calibration as a job: stopped, resumed, shared between processes, fed with bad text.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <doctest/doctest.h>

#include "llama/thread_pool.hpp"
#include "small_job.hpp"

namespace llama::test {
namespace {

TEST_CASE("a job learns, and gives the same bits on any number of threads, in pieces and after a stop") {
  const TemporaryFolder folder;
  const RandomModel source(21, RotaryPairs::interleaved);
  const auto whole = run(source, small_job(source, folder.file("whole"), "w4a4kv4+flatquant"));
  REQUIRE(whole.size() == 2);
  // Twelve steps need not help every block of random weights: which ones they help differs with the rounding of floats.
  double before = 0, after = 0;
  for (const CalibratedBlock& block : whole) {
    CHECK(block.report.loss_after <= block.report.loss_before);
    CHECK(block.report.step_losses.size() == 12);
    before += block.report.loss_before;
    after += block.report.loss_after;
  }
  CHECK(after < before);
  for (int workers : {2, 3}) {
    ThreadPool pool(workers);
    const std::string parts = folder.file("threads" + std::to_string(workers));
    CHECK(same(run(source, small_job(source, parts, "w4a4kv4+flatquant"), ExecutorReference(pool)), whole));
  }
  CalibrationJob job = small_job(source, folder.file("pieces"), "w4a4kv4+flatquant");
  job.first_layer = 1;
  calibrate(source, job, {}, [] { return false; });
  CHECK(contains(message_of([&] { (void)finished_blocks(source, job); }), "layer 0 is not calibrated yet"));
  job.first_layer = 0;
  CHECK(same(run(source, job), whole));

  job.parts = folder.file("stopped");
  for (int limit : {0, 5, 13, 7}) {
    int steps = 0;
    CHECK(contains(message_of([&] { calibrate(source, job, {}, [&] { return steps++ >= limit; }); }),
                   "the same command goes on there"));
  }
  CHECK(same(run(source, job), whole));
}

TEST_CASE("a centred job keeps the means of what its blocks read, and the model without them is the same") {
  const TemporaryFolder folder;
  const RandomModel source(21, RotaryPairs::interleaved);
  CalibrationJob job = small_job(source, folder.file("plain"), "w4a4kv4+flatquant");
  job.options.method.weight_epochs = 2;
  job.options.method.centres = false;
  const auto plain = run(source, job);
  job.parts = folder.file("centred");
  job.options.method.centres = true;
  const auto centred = run(source, job);
  const FlatQuantParameters& learned = centred[0].parameters;
  for (SiteKind kind : site_kinds) {
    CHECK(plain[0].parameters.transform(block_site(kind)).shift.empty());
    const std::vector<float>& shift = learned.transform(block_site(kind)).shift;
    REQUIRE(shift.size() == static_cast<std::size_t>(channels_at(kind, source.config())));
    CHECK(std::any_of(shift.begin(), shift.end(), [](float z) { return z != 0.0f; }));
  }
  // The first block's norm by hand: the mean over all tokens but every window's first.
  const Config& config = source.config();
  const LayerWeights weights = read_layer(source, 0);
  std::vector<double> mean(static_cast<std::size_t>(config.hidden_size));
  for (const auto& window : job.windows)
    for (std::size_t t = 1; t < window.size(); ++t) {
      std::vector<float> row(mean.size());
      source.read_rows("embedding", {config.vocabulary, config.hidden_size}, window[t], 1, row.data());
      double square = 0.0;
      for (float x : row) square += static_cast<double>(x) * static_cast<double>(x);
      const double factor = 1.0 / std::sqrt(square / static_cast<double>(row.size()) + config.norm_epsilon);
      for (std::size_t c = 0; c < mean.size(); ++c)
        mean[c] += static_cast<double>(row[c]) * factor * static_cast<double>(weights.attention_gain[c]) /
                   static_cast<double>(job.windows.size() * (window.size() - 1));
    }
  for (std::size_t c = 0; c < mean.size(); ++c)
    CHECK(static_cast<double>(learned.transform(block_site(SiteKind::attention)).shift[c]) ==
          doctest::Approx(mean[c]).epsilon(1e-4));

  ThreadPool pool(2);
  job.parts = folder.file("threads");
  CHECK(same(run(source, job, ExecutorReference(pool)), centred));
  const auto model = [&](planish::SiteMode mode) {
    const BuildOptions options{.recipe = job.options.recipe, .learned = [&](index layer) {
                                 return centred[static_cast<std::size_t>(layer)].parameters;
                               }};
    return logits_of(model_of(std::make_shared<RandomModel>(21, RotaryPairs::interleaved), options, mode),
                     random_ids(1, 9, config.vocabulary), 9);
  };
  CHECK(relative_difference(model(planish::SiteMode::packed), model(planish::SiteMode::fake)) < 0.05);

  job.parts = folder.file("float");
  job.options.recipe = require(parse_recipe("w4a16+flatquant"));
  const auto floats = run(source, job);
  for (const auto& transform : floats[0].parameters.transforms) CHECK(transform.shift.empty());
}

TEST_CASE("a job can be stopped on its way to a block: before every block that it walks through") {
  const TemporaryFolder folder;
  const RandomModel source(21, RotaryPairs::interleaved);
  CalibrationJob job = small_job(source, folder.file("far"), "w4a4kv4+flatquant");
  job.first_layer = 1;
  int asked = 0;
  CHECK(contains(message_of([&] { calibrate(source, job, {}, [&] { return ++asked > 0; }); }),
                 "stopped on the way to layer 1, in layer 0; the same command goes on there"));
  CHECK(asked == 1);
  BlockCalibration walk(source, job.windows, job.options, {});
  CHECK_FALSE(walk.go_to(1, {}, [] { return true; }));
  CHECK(walk.next_layer() == 0);
  CHECK(walk.go_to(1, {}, [] { return false; }));
  CHECK(walk.next_layer() == 1);
}

TEST_CASE("recipes of every kind learn: weights only, cache only, without components, groups") {
  const TemporaryFolder folder;
  const RandomModel source(22, RotaryPairs::halves);
  int number = 0;
  for (const char* recipe : {"w4a16+flatquant", "w3a16g8+flatquant", "w16a16kv3+flatquant", "w4a4k4v2+flatquant",
                             "w16a4+flatquant", "w4a4kv4+flatquant,down=w8a8"}) {
    CAPTURE(recipe);
    for (const bool plain : {false, true}) {
      CalibrationJob job = small_job(source, folder.file(std::to_string(number++)), recipe);
      job.options.method.learns_transform = !plain;
      job.options.method.learns_scale = !plain;
      for (const CalibratedBlock& block : run(source, job)) CHECK(block.report.loss_after <= block.report.loss_before);
      const auto blocks = finished_blocks(source, job);
      const BuildOptions options{.recipe = job.options.recipe, .learned = [&](index layer) {
                                   return blocks[static_cast<std::size_t>(layer)].parameters;
                                 }};
      const auto model = model_of(std::make_shared<RandomModel>(22, RotaryPairs::halves), options);
      for (float logit : logits_of(model, random_ids(1, 9, source.config().vocabulary), 9)) CHECK(std::isfinite(logit));
    }
  }
}

TEST_CASE("hostile calibrations end in parameters or in a named error") {
  const TemporaryFolder folder;
  RandomModel source(23, RotaryPairs::interleaved);
  CalibrationJob job = small_job(source, folder.file("repeated"), "w4a4kv4+flatquant");
  for (auto& window : job.windows) window.assign(window.size(), 7);
  for (const CalibratedBlock& block : run(source, job)) CHECK(std::isfinite(block.report.loss_after));

  job = small_job(source, folder.file("fast"), "w4a4kv4+flatquant");
  job.options.method.learning_rate = 10.0;
  const std::string fast = message_of([&] {
    for (const CalibratedBlock& block : run(source, job)) {
      CHECK(block.report.loss_after <= block.report.loss_before);
      CHECK(block.report.attempts > 1);
    }
  });
  CHECK((fast == "no error" || contains(fast, "diverged")));

  for (index c = 0; c < source.config().hidden_size; ++c) source.at("layers.0.up", 3, c) = 0.0f;  // a dead row
  for (index r = 0; r < source.config().ffn_size; ++r) source.at("layers.0.gate", r, 5) = 0.0f;   // a dead column
  CHECK(run(source, small_job(source, folder.file("dead"), "w4a4kv4+flatquant")).size() == 2);

  source.at("layers.1.down", 2, 2) = std::nanf("");
  CHECK(contains(message_of([&] { run(source, small_job(source, folder.file("nan"), "w4a4kv4+flatquant")); }),
                 "layers.1.down"));
}

TEST_CASE("parts of another job, broken parts and short texts are refused in one sentence") {
  const TemporaryFolder folder;
  const RandomModel source(24, RotaryPairs::halves);
  CalibrationJob job = small_job(source, folder.file("parts"), "w4a4kv4+flatquant");
  (void)run(source, job);
  job.options.method.seed = 2;
  CHECK(contains(message_of([&] { run(source, job); }), "belongs to another calibration"));
  job.options.method.seed = 1;
  const std::string part = folder.file("parts") + "/layer-0001.safetensors";
  std::filesystem::resize_file(part, std::filesystem::file_size(part) - 1);
  CHECK(contains(message_of([&] { run(source, job); }), "layer-0001.safetensors"));
  CHECK(contains(message_of([] {
                   (void)calibration_windows({1, 2, 3}, 2, 2, 1, "short.txt");
                 }),
                 "short.txt: has 3 tokens, not the 4 of 2 windows of 2"));
}

TEST_CASE("windows are drawn without repetition, the same for the same seed") {
  std::vector<int> ids(100);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(i);
  const auto windows = calibration_windows(ids, 10, 10, 3, "ids");
  CHECK(windows == calibration_windows(ids, 10, 10, 3, "ids"));
  CHECK(windows != calibration_windows(ids, 10, 10, 4, "ids"));
  std::vector<bool> seen(10);
  for (const auto& window : windows) {
    CHECK(window.front() % 10 == 0);
    CHECK(window.back() == window.front() + 9);
    CHECK_FALSE(seen[static_cast<std::size_t>(window.front() / 10)]);
    seen[static_cast<std::size_t>(window.front() / 10)] = true;
  }
}

}  // namespace
}  // namespace llama::test
