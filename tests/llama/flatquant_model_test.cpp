// Models with FlatQuant's learned parameters: inputs of their own per matrix, artefacts, the host, and mistakes.
#include <utility>

#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "llama/host.hpp"
#include "llama/model_artefact.hpp"
#include "messages.hpp"
#include "random_flatquant.hpp"

namespace llama::test {
namespace {

TEST_CASE("matrices with clips of their own read inputs of their own; equal clips share one") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  BuildOptions options = options_for("w4a4kv4+flatquant", source->config());
  const FlatQuantParameters parameters = options.learned(0);
  const auto quantizers = [&] {
    std::array<std::vector<planish::RowQuantizer>, site_kinds.size()> all;
    const BlockParameters made = first_layer(*source, options);
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = made.sites[i].quantizers;
    return all;
  };
  const auto own = quantizers();
  REQUIRE(own[0].size() == 3);
  CHECK(own[0][1].clip == parameters.clips_of(BlockMatrix::key).activation);
  CHECK(own[1].size() == 1);
  CHECK(own[2].size() == 2);
  CHECK(own[3].size() == 1);
  const Model model = model_of(source, options);
  CHECK(contains(model.blocks()[0].describe(), "3 quantized inputs for 3 consumers, each a4"));
  options.learned = [&](index) {
    FlatQuantParameters shared = parameters;
    for (auto& clips : shared.clips) clips.activation = {0.75f, 0.8f};
    return shared;
  };
  for (const auto& site : quantizers()) CHECK(site.size() == 1);
}

TEST_CASE("quantized models run, near the float model, packed as simulated, in pieces as whole") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::interleaved);
  const std::vector<int> ids = random_ids(3, 17, source->config().vocabulary);
  const std::vector<float> expected = logits_of(model_of(source, "fp32"), ids, 17);
  const std::pair<const char*, bool> kinds[] = {{"w8a8kv8+flatquant", false},
                                                {"w8a8kv8+flatquant", true},
                                                {"w8a8s+flatquant", false},
                                                {"w8a8kv8+flatquant+gptq", false},
                                                {"w8a8kv8+flatquant+gptq", true}};
  for (const auto& [recipe, centred] : kinds) {
    CAPTURE(recipe);
    CAPTURE(centred);
    BuildOptions options = options_for(recipe, source->config(), centred);
    options.learned = [learned = options.learned](index layer) {
      FlatQuantParameters open = learned(layer);  // random clips would cost more than 8 bits do
      for (auto& clips : open.clips) clips = {.weight_rows = {}, .activation = {0.98f, 0.99f}};
      return open;
    };
    const Model packed = model_of(source, options);
    const std::vector<float> logits = logits_of(packed, ids, 17);
    CHECK(relative_difference(logits, expected) < 0.1);
    CHECK(relative_difference(logits_of(model_of(source, options, planish::SiteMode::fake), ids, 17), logits) < 0.02);
    CHECK(relative_difference(logits_of(packed, ids, 5), logits) < 0.02);
  }
}

TEST_CASE("an artefact gives back the learned model to the bit; artefacts with one quantizer per site still load") {
  const TemporaryFolder folder;
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::interleaved);
  const Config& config = source->config();
  const std::vector<int> ids = random_ids(11, 15, config.vocabulary);
  const std::pair<const char*, bool> kinds[] = {
      {"w4a4kv4+flatquant", false}, {"w4a4kv4+flatquant", true}, {"w4a4kv4+hadamard", false}};
  for (const auto& [recipe, centred] : kinds) {
    CAPTURE(recipe);
    CAPTURE(centred);
    const std::string path = folder.file("model.planish");
    const BuildOptions options = options_for(recipe, config, centred);
    ArtefactOutput out(*source, options.recipe);
    std::vector<Block> blocks, read;
    for (index layer = 0; layer < config.layers; ++layer) {
      BlockParameters parameters = build_layer(*source, layer, options, {}, {});
      out.add_layer(layer, parameters);
      blocks.emplace_back(config, std::move(parameters), planish::SiteMode::packed, "written");
    }
    out.write(path);
    const ArtefactInput in(path, *source);
    for (index layer = 0; layer < config.layers; ++layer)
      read.emplace_back(config, in.layer(layer), planish::SiteMode::packed, "read");
    const auto head = std::make_shared<const Head>(*source, 16);
    const auto norm = source->read("norm", {1, config.hidden_size});
    const Model written(source, std::move(blocks), norm, head), back(source, std::move(read), norm, head);
    CHECK(logits_of(written, ids, 15) == logits_of(back, ids, 15));
    const auto file = require(planish::io::Artefact::open(path));
    const bool learned = options.recipe.needs_parameters();
    CHECK(file.find("layers.0.attn_in.quantizer")->shape ==
          (learned ? std::vector<index>{3, 6} : std::vector<index>{6}));
    CHECK(file.find("layers.0.down_in.quantizer")->shape == std::vector<index>{6});
  }
}

TEST_CASE("what is missing is named") {
  const auto source = std::make_shared<RandomModel>(20, RotaryPairs::halves);
  BuildOptions options = options_for("w4a4kv4+flatquant", source->config());
  options.learned = [learned = options.learned](index layer) {
    FlatQuantParameters none = learned(layer);
    none.key_head = {};
    return none;
  };
  CHECK(contains(message_of([&] { (void)first_layer(*source, options); }), "quantizes keys, but no transform"));
  options.recipe.key_bits = 16;
  CHECK(message_of([&] { (void)first_layer(*source, options); }) == "no error");
  options.learned = {};
  CHECK(contains(message_of([&] { (void)first_layer(*source, options); }), "--planish FILE"));
  CHECK(contains(message_of([] { (void)require(parse_recipe("w4a4+flatquant+hadamard")); }), "stands alone"));
  CHECK(contains(message_of([] { (void)require(parse_recipe("w4a4+scale+flatquant+gptq")); }), "stands alone"));
}

TEST_CASE("the reference implementation's parameters on SmolLM2-135M, through the host") {
  const std::string parameters = shared_data("smollm2/flatquant-w4a4kv4.safetensors");
  if (default_model().empty() || parameters.empty()) {
    MESSAGE("skipped: no model or no shared data");
    return;
  }
  const TemporaryFolder folder;
  const auto logits = [&](const std::string& planish, const std::string& recipe) {
    Host host({.model = default_model(), .planish = planish, .threads = 2});
    const Model model = host.build(host.check_recipe(recipe));
    return logits_of(model, random_ids(3, 16, host.config().vocabulary), 16, host.executor());
  };
  const std::vector<float> expected = logits("", "fp32");
  CHECK(relative_difference(logits(parameters, "w16a16+flatquant"), expected) < 1e-4);

  Host host({.model = default_model(), .planish = parameters, .threads = 2});
  CHECK(to_string(host.check_recipe("")) == "w4a4kv4+flatquant");
  CHECK(contains(message_of([&] { (void)host.check_recipe("w8a8"); }), "which w8a8 does not use"));
  CHECK(to_string(host.check_recipe("w8a8", false)) == "w8a8");
  ArtefactOutput out(host.source(), host.check_recipe(""));
  host.for_each_layer(host.check_recipe(""), [&](index layer, const BlockParameters& p) { out.add_layer(layer, p); });
  out.write(folder.file("m.planish"));
  CHECK(logits(parameters, "") == logits(folder.file("m.planish"), ""));

  Host other({.model = shared_data("stories260K/model.safetensors"), .planish = parameters, .threads = 1});
  const std::string message = message_of([&] { (void)other.build(other.check_recipe("")); });
  CHECK(contains(message, "tensor 'layers.0.attn_in."));
}

}  // namespace
}  // namespace llama::test
