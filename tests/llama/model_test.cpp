// The float model against figures of an independent float64 pass, and the files it comes from.
#include <fstream>

#include <doctest/doctest.h>

#include <planish/io/safetensors.hpp>

#include "fixtures.hpp"
#include "llama/sample_text.hpp"
#include "llama/thread_pool.hpp"
#include "llama/weight_files.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

struct Vectors {
  std::vector<int> ids;
  std::vector<float> residual;  // (layers + 1) × positions × hidden size
  std::vector<float> logits;
};

Vectors read_vectors(const std::string& path) {
  const auto file = require(planish::io::SafetensorsFile::open(path));
  const auto floats = [&](const char* name) { return require(file.read_floats(*require(file.get(name)))); };
  const auto ids = require(file.read_integers(*require(file.get("input_ids"))));
  return {{ids.begin(), ids.end()}, floats("residual"), floats("logits")};
}

/// Runs the float model block by block and compares every residual and the logits at `positions`.
void check_model(const std::string& model_path, const std::string& vectors_path, std::vector<index> positions) {
  ThreadPool pool(2);
  const std::shared_ptr<const WeightSource> source = WeightSource::open(model_path);
  const Config& config = source->config();
  const Vectors expected = read_vectors(vectors_path);
  const auto rows = static_cast<index>(expected.ids.size());
  const Model model = build_model(source, {}, {}, pool);

  FloatRows hidden;
  const auto x = hidden.view(rows, config.hidden_size);
  model.embed(expected.ids, x);
  const Rope rope(config, rows);
  BlockScratch scratch;
  const Segment whole{0, rows};
  const auto size = static_cast<std::size_t>(x.size());
  const auto residual = [&](std::size_t layer) {
    return std::span<const float>(expected.residual).subspan(layer * size, size);
  };
  CHECK(relative_difference({x.data(), size}, residual(0)) < 1e-6);
  for (std::size_t layer = 0; layer < model.blocks().size(); ++layer) {
    CAPTURE(layer);
    std::vector<planish::KvCache> caches;
    caches.push_back(model.blocks()[layer].make_cache(rows));
    model.blocks()[layer].forward(
        x, {.segments = {&whole, 1}, .caches = caches, .rope = &rope, .scratch = &scratch, .executor = pool});
    CHECK(relative_difference({x.data(), size}, residual(layer + 1)) < 1e-4);
  }

  const std::vector<float> logits = logits_of(model, expected.ids, rows, pool);
  const auto vocabulary = static_cast<std::size_t>(config.vocabulary);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    CAPTURE(positions[i]);
    CHECK(relative_difference(
              std::span<const float>(logits).subspan(static_cast<std::size_t>(positions[i]) * vocabulary, vocabulary),
              std::span<const float>(expected.logits).subspan(i * vocabulary, vocabulary)) < 1e-4);
  }
}

TEST_CASE("stories260K in float equals an independent float64 pass") {
  const std::string model = shared_data("stories260K/model.safetensors");
  if (model.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  std::vector<index> positions;
  for (index p = 0; p < 32; ++p) positions.push_back(p);
  check_model(model, shared_data("stories260K/test_vectors.safetensors"), positions);
  check_model(std::filesystem::path(model).parent_path().string(), shared_data("stories260K/test_vectors.safetensors"),
              positions);  // the folder
}

TEST_CASE("SmolLM2-135M in float equals an independent float64 pass") {
  const std::string vectors = shared_data("smollm2/test_vectors.safetensors");
  if (vectors.empty() || default_model().empty()) {
    MESSAGE("skipped: no shared data or no model");
    return;
  }
  check_model(default_model(), vectors, {0, 15, 31});
}

TEST_CASE("a quantized head stays near the exact one") {
  const auto source = std::make_shared<RandomModel>(1, RotaryPairs::halves, /*tied=*/true);
  const Head exact(*source, 16), quantized(*source, 8);
  planish::Random random(2);
  std::vector<float> hidden(3 * 40), a(3 * 97), b(a.size());
  for (float& value : hidden) value = static_cast<float>(random.normal());
  ScratchBytes scratch;
  exact.logits({hidden.data(), 3, 40}, {a.data(), 3, 97}, scratch, {});
  quantized.logits({hidden.data(), 3, 40}, {b.data(), 3, 97}, scratch, {});
  CHECK(relative_difference(b, a) < 0.05);
  CHECK(relative_difference(b, a) > 0.0);
}

TEST_CASE("config.json: what is missing, wrong or beyond the family is named") {
  const std::string good = R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 172,
    "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512,
    "rope_theta": 10000.0, "rms_norm_eps": 1e-5)";
  const Config config = config_from_json("c.json", good + "}");
  CHECK(config.head_size == 8);
  CHECK(config.kv_size() == 32);
  CHECK(config.pairs == RotaryPairs::halves);
  CHECK(config.rotary_frequencies.size() == 4);
  CHECK(config.rotary_frequencies[1] == doctest::Approx(0.1));

  const Config scaled = config_from_json(
      "c.json", good + R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}})");
  CHECK(scaled.rotary_frequencies[0] == doctest::Approx(1.0));          // 10 turns over 64 tokens: kept
  CHECK(scaled.rotary_frequencies[3] == doctest::Approx(0.001 / 8.0));  // a hundredth of a turn: slowed
  const double turns = 64.0 * 0.1 / (2.0 * std::numbers::pi), kept = (turns - 1.0) / 3.0;
  CHECK(scaled.rotary_frequencies[1] == doctest::Approx((1.0 - kept) * 0.1 / 8.0 + kept * 0.1));

  for (const std::string& bad :
       {std::string("{"), std::string("[]"), good + R"(, "head_dim": 7})", good + R"(, "hidden_act": "gelu"})",
        good + R"(, "num_key_value_heads": 3})", good + R"(, "vocab_size": "many"})", good + R"(, "hidden_size": -1})",
        good + R"(, "rope_scaling": {"rope_type": "yarn"}})", std::string(R"({"model_type": "gpt2"})")}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((void)config_from_json("c.json", bad), Error);
    try {
      (void)config_from_json("c.json", bad);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("c.json: "));
    }
  }
}

TEST_CASE("files that are not models are refused by name") {
  const TemporaryFolder folder;
  for (const char* name : {"model.gguf", "model.safetensors"}) {
    const std::string path = folder.file(name);
    CHECK_THROWS_AS((void)WeightSource::open(path), Error);
    std::ofstream(path) << "not a model";
    CHECK_THROWS_AS((void)WeightSource::open(path), Error);
    try {
      (void)WeightSource::open(path);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(path) != std::string::npos);
    }
  }
}

TEST_CASE("sampled text is kept, read back, and made again when the file is damaged") {
  const TemporaryCache cache;
  const RandomModel source(1, RotaryPairs::halves);
  CHECK_FALSE(load_sampled_text(source).has_value());
  SampledText text;
  for (std::uint64_t s = 0; s < 8; ++s) {
    text.calibration.push_back(random_ids(s, SampledText::length, 97));
    text.scoring.push_back(random_ids(s + 8, SampledText::length, 97));
  }
  CHECK(store_sampled_text(source, text));
  const auto back = load_sampled_text(source);
  REQUIRE(back.has_value());
  CHECK(back->calibration == text.calibration);
  CHECK(back->scoring == text.scoring);
  std::ofstream(sampled_text_path(source)) << "1 2 3\n";
  CHECK_FALSE(load_sampled_text(source).has_value());
}

}  // namespace
}  // namespace llama::test
