// Recipes on whole models: transforms change nothing while quantizers are off, simulated equals packed to the bit,
// artefacts give back what was written, and mistakes are named.
#include <doctest/doctest.h>

#include "fixtures.hpp"
#include "llama/host.hpp"
#include "llama/model_artefact.hpp"
#include "llama/thread_pool.hpp"
#include "messages.hpp"
#include "random_model.hpp"

namespace llama::test {
namespace {

constexpr std::uint64_t seed = 20;

std::shared_ptr<RandomModel> random_model(RotaryPairs pairs = RotaryPairs::halves) {
  return std::make_shared<RandomModel>(seed, pairs);
}

/// Keeps the input of every site of one block.
class InputKeeper final : public SiteObserver {
 public:
  void see(SiteKind site, MatrixView<const float> x) override {
    auto& rows = inputs[static_cast<std::size_t>(site)];
    for (index r = 0; r < x.rows(); ++r) rows.insert(rows.end(), x.row(r), x.row(r) + x.columns());
  }
  std::array<std::vector<float>, site_kinds.size()> inputs;
};

TEST_CASE("with quantizers off, every stage at every site leaves the logits as they are") {
  INFO("seed ", seed);
  for (RotaryPairs pairs : {RotaryPairs::interleaved, RotaryPairs::halves}) {
    const auto source = random_model(pairs);
    const std::vector<int> ids = random_ids(3, 17, source->config().vocabulary);
    const std::vector<float> expected = logits_of(model_of(source, "fp32"), ids, 17);
    for (const char* recipe : {"w16a16", "w16a16+shift", "w16a16+scale", "w16a16+hadamard", "w16a16+kronecker",
                               "w16a16+shift+scale", "w16a16+scale+hadamard", "w16a16+shift+scale+hadamard",
                               "w16a16+scale+kronecker", "w16a16+hadamard+scale", "w16a16+kronecker+shift+hadamard"}) {
      CAPTURE(recipe);
      const Model model =
          model_of(source, BuildOptions{.recipe = require(parse_recipe(recipe)), .transforms_float_cache = true});
      CHECK(relative_difference(logits_of(model, ids, 17), expected) < 1e-4);
    }
  }
}

TEST_CASE("the same on SmolLM2-135M") {
  if (default_model().empty()) {
    MESSAGE("skipped: no model");
    return;
  }
  ThreadPool pool(2);
  const std::shared_ptr<const WeightSource> source = WeightSource::open(default_model());
  const std::vector<int> ids = random_ids(3, 16, source->config().vocabulary);
  const auto logits = [&](const char* recipe) {
    const BuildOptions options{.recipe = require(parse_recipe(recipe)), .transforms_float_cache = true};
    return logits_of(model_of(source, options, planish::SiteMode::packed, pool), ids, 16, pool);
  };
  const std::vector<float> expected = logits("fp32");
  for (const char* recipe : {"w16a16+shift+scale+hadamard", "w16a16+scale+kronecker"}) {
    CAPTURE(recipe);
    CHECK(relative_difference(logits(recipe), expected) < 1e-4);
  }
}

TEST_CASE("quantized recipes of every kind run and stay near the float model") {
  const auto source = random_model();
  const std::vector<int> ids = random_ids(3, 17, source->config().vocabulary);
  const std::vector<float> expected = logits_of(model_of(source, "fp32"), ids, 17);
  const auto error_of = [&](const char* recipe) {
    return relative_difference(logits_of(model_of(source, recipe), ids, 17), expected);
  };
  for (const char* recipe : {"w8a8", "w8a8s", "w8a8s+hadamard", "w8a8+scale", "w8a8+shift+scale", "w8a8kv8+hadamard",
                             "w8a8+mse", "w8a8+gptq", "w8a8g8", "w8a16", "w16a8", "w8a8k8v16+kronecker",
                             "w8a8+scale+kronecker+gptq", "w4a4,down=w8a8,attn=w8a8"}) {
    CAPTURE(recipe);
    CHECK(error_of(recipe) < (std::string_view(recipe).starts_with("w4") ? 0.6 : 0.12));
  }
  CHECK(error_of("w8a8") > 1e-5);
  CHECK(error_of("w3a16+gptq") < error_of("w3a16"));
  CHECK(error_of("w4a4+hadamard") < error_of("w4a4"));
}

TEST_CASE("decoding gives what prefill gives, however a sequence is cut") {
  const auto source = random_model();
  const std::vector<int> ids = random_ids(4, 29, source->config().vocabulary);
  for (const char* recipe : {"fp32", "w8a8kv4+hadamard", "w4a4kv4"}) {
    CAPTURE(recipe);
    const Model model = model_of(source, recipe);
    const std::vector<float> whole = logits_of(model, ids, 29);
    for (index piece : {index{1}, index{7}, index{28}}) {
      CAPTURE(piece);
      CHECK(relative_difference(logits_of(model, ids, piece), whole) < 1e-5);
    }
  }
}

TEST_CASE("sequences in one batch do not see each other, and threads change nothing") {
  ThreadPool pool(3);
  const auto source = random_model();
  const Model model = model_of(source, "w4a8kv4+hadamard");
  std::vector<std::vector<int>> sequences;
  for (std::uint64_t s = 0; s < 3; ++s) sequences.push_back(random_ids(30 + s, 12, source->config().vocabulary));

  Session session(model, 3, 12, pool);
  std::vector<std::vector<float>> logits(3);
  const std::array<std::vector<Segment>, 3> calls{
      {{{0, 5}, {2, 12}}, {{1, 12}, {0, 1}}, {{0, 6}}}};  // sequences start and go on at different times
  std::array<std::size_t, 3> fed{};
  for (const auto& segments : calls) {
    std::vector<int> ids;
    for (const Segment& segment : segments) {
      auto& at = fed[static_cast<std::size_t>(segment.sequence)];
      const auto& sequence = sequences[static_cast<std::size_t>(segment.sequence)];
      for (index i = 0; i < segment.rows; ++i) ids.push_back(sequence[at++]);
    }
    const auto rows = session.logits(session.forward(segments, ids));
    index row = 0;
    for (const Segment& segment : segments) {
      auto& into = logits[static_cast<std::size_t>(segment.sequence)];
      into.insert(into.end(), rows.row(row), rows.row(row) + segment.rows * rows.columns());
      row += segment.rows;
    }
  }
  for (std::size_t s = 0; s < 3; ++s) {
    CAPTURE(s);
    CHECK(relative_difference(logits[s], logits_of(model, sequences[s], 12)) < 1e-5);
  }

  session.truncate(0, 4);
  CHECK(session.tokens(0) == 4);
  const std::span<const int> rest = std::span<const int>(sequences[0]).subspan(4);
  const Segment again{0, 8};
  const auto rows = session.logits(session.forward({&again, 1}, rest));
  CHECK(relative_difference({rows.row(7), static_cast<std::size_t>(rows.columns())},
                            std::span<const float>(logits[0]).last(static_cast<std::size_t>(rows.columns()))) < 1e-5);
}

/// Every integer accumulator of a product, by a backend.
template <class Backend>
std::vector<std::int32_t> accumulators_of(const planish::QuantizedRowsView& x, const planish::PackedWeightsView& w) {
  std::vector<std::int32_t> sums(static_cast<std::size_t>(x.rows * w.rows * w.groups()));
  std::vector<std::byte> scratch(planish::multiply_scratch_bytes(Backend{}, x.rows, w.columns, w.groups()) + 64);
  planish::multiply_accumulators(Backend{}, x, w, {sums.data(), x.rows, w.rows * w.groups()},
                                 {0, planish::panel_count(w.rows)},
                                 planish::Workspace(scratch).take<std::byte>(static_cast<index>(scratch.size()) - 64));
  return sums;
}

/// Runs the packed model and feeds every site of the simulated one what the packed one's sites saw: codes, scales,
/// values, packed weights and accumulators must be equal.
void check_teacher_forced(const std::shared_ptr<const WeightSource>& source, const char* recipe, index rows) {
  CAPTURE(recipe);
  const Config& config = source->config();
  const Model packed = model_of(source, recipe), fake = model_of(source, recipe, planish::SiteMode::fake);
  const Rope rope(config, rows);
  BlockScratch scratch;
  FloatRows hidden;
  const auto x = hidden.view(rows, config.hidden_size);
  packed.embed(random_ids(9, rows, config.vocabulary), x);
  const Segment whole{0, rows};
  for (std::size_t layer = 0; layer < packed.blocks().size(); ++layer) {
    CAPTURE(layer);
    InputKeeper keeper;
    std::vector<planish::KvCache> caches;
    caches.push_back(packed.blocks()[layer].make_cache(rows));
    packed.blocks()[layer].forward(
        x, {.segments = {&whole, 1}, .caches = caches, .rope = &rope, .scratch = &scratch, .observer = &keeper});
    for (SiteKind kind : site_kinds) {
      CAPTURE(to_string(kind));
      const planish::AnySite& site = packed.blocks()[layer].site(kind);
      const planish::AnySite& simulated = fake.blocks()[layer].site(kind);
      const MatrixView<const float> input(keeper.inputs[static_cast<std::size_t>(kind)].data(), rows, site.size());
      std::vector<std::byte> memory(site.workspace_size(rows, 1)), fake_memory(simulated.workspace_size(rows, 1));
      planish::Workspace workspace{std::span(memory)}, fake_workspace{std::span(fake_memory)};
      planish::QuantizedInput in, fake_in;
      REQUIRE(site.prepare(input, in, workspace).ok());
      REQUIRE(simulated.prepare(input, fake_in, fake_workspace).ok());
      REQUIRE(fake_in.is_float());
      index different = 0;
      for (index r = 0; r < rows; ++r) {
        different += in.codes.scales[r] == fake_in.codes.scales[r] ? 0 : 1;
        for (index c = 0; c < site.size(); ++c) {
          const int code = in.codes.codes[r * in.codes.stride + c];
          different += code == fake_in.codes.codes[r * fake_in.codes.stride + c] ? 0 : 1;
          different += planish::to_value(code, {in.codes.scales[r], 0}) == fake_in.values(r, c) ? 0 : 1;
        }
      }
      CHECK(different == 0);
      for (Projection p : projections) {
        if (site_of(p) != kind) continue;
        const auto a = packed.blocks()[layer].linear(p).packed(), b = fake.blocks()[layer].linear(p).packed();
        REQUIRE(a.rows == b.rows);
        const index bytes = planish::panel_count(a.rows) * ((a.columns + 3) / 4) *
                            (a.storage == planish::CodeStorage::nibble ? 64 : 128);
        CHECK(std::equal(a.panels, a.panels + bytes, b.panels));
        CHECK(accumulators_of<planish::DefaultBackend>(in.codes, a) ==
              accumulators_of<planish::Reference>(fake_in.codes, b));
      }
    }
  }
}

TEST_CASE("simulated and packed: fed the same inputs, every site and matrix of the model agrees to the bit") {
  const auto source = random_model();
  for (const char* recipe : {"w4a4kv4+shift+scale+hadamard", "w8a8s", "w4a8g8+kronecker", "w5a6kv3"}) {
    check_teacher_forced(source, recipe, 19);
    const std::vector<int> ids = random_ids(8, 21, source->config().vocabulary);
    const auto fake = logits_of(model_of(source, recipe, planish::SiteMode::fake), ids, 21);
    CHECK(relative_difference(fake, logits_of(model_of(source, recipe), ids, 21)) < 0.05);  // rounding flips only
  }
}

TEST_CASE("the same on SmolLM2-135M, all 30 layers") {
  if (default_model().empty()) {
    MESSAGE("skipped: no model");
    return;
  }
  const std::shared_ptr<const WeightSource> source = WeightSource::open(default_model());
  for (const char* recipe : {"w4a4kv4+hadamard", "w8a8"}) check_teacher_forced(source, recipe, 7);
}

TEST_CASE("an artefact gives back the same model to the bit") {
  const TemporaryFolder folder;
  const auto source = random_model();
  const Config& config = source->config();
  const std::vector<int> ids = random_ids(11, 15, config.vocabulary);
  for (const char* recipe : {"w4a4kv4+shift+scale+hadamard", "w8a8s+kronecker", "w3a16g8+scale", "w16a8", "fp32"}) {
    for (const bool packed : {false, true}) {
      CAPTURE(recipe);
      CAPTURE(packed);
      const std::string path = folder.file("model.planish");
      const BuildOptions options{.recipe = require(parse_recipe(recipe))};
      CalibrationPass pass(*source, std::vector<std::vector<int>>{random_ids(5, 40, config.vocabulary)}, {});
      const StatisticsOf statistics = [&](index, const LayerWeights& w) {
        return pass.next(w, detail_for(options.recipe));
      };
      ArtefactOutput out(*source, options.recipe);
      std::vector<Block> blocks;
      for (index layer = 0; layer < config.layers; ++layer) {
        BlockParameters parameters = build_layer(*source, layer, options, statistics, {});
        out.add_layer(layer, parameters, packed);
        blocks.emplace_back(config, std::move(parameters), planish::SiteMode::packed, "written");
      }
      out.write(path);
      const ArtefactInput in(path, *source);
      CHECK(in.recipe() == options.recipe);
      std::vector<Block> read;
      for (index layer = 0; layer < config.layers; ++layer)
        read.emplace_back(config, in.layer(layer, ArtefactInput::Weights::mapped), planish::SiteMode::packed, "read");
      const auto head = std::make_shared<const Head>(*source, 16);
      const auto norm = source->read("norm", {1, config.hidden_size});
      const Model written(source, std::move(blocks), norm, head), back(source, std::move(read), norm, head);
      CHECK(logits_of(written, ids, 15) == logits_of(back, ids, 15));
    }
  }
}

TEST_CASE("mistakes are one line that says where") {
  const auto source = random_model();
  source->at("layers.1.up", 3, 4) = std::nanf("");
  CHECK(contains(message_of([&] { (void)model_of(source, "w8a8"); }), "layers.1.up"));
  source->at("layers.1.up", 3, 4) = 0.0f;
  source->reshape("layers.0.k", {40, 16});
  const std::string shape = message_of([&] { (void)model_of(source, "fp32"); });
  CHECK(contains(shape, "layers.0.k"));
  CHECK(contains(shape, "40 x 16"));
  source->reshape("layers.0.k", {16, 40});
  source->remove("layers.1.mlp_norm");
  CHECK(contains(message_of([&] { (void)model_of(source, "fp32"); }), "layers.1.mlp_norm"));

  const Model model = model_of(random_model(), "fp32");
  Session session(model, 1, 4);
  const std::vector<int> outside{96, 97}, many(5, 1);
  CHECK(contains(message_of([&] { (void)session.forward(outside); }), "97"));
  CHECK(contains(message_of([&] { (void)session.forward(many); }), "does not fit"));
}

TEST_CASE("the host names what a recipe lacks") {
  const std::string path = shared_data("stories260K/model.safetensors");
  if (path.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  Host host({.model = path});
  for (const char* recipe : {"w8a8+scale", "w8a8s", "w4a16+gptq"}) {
    const std::string message = message_of([&] { (void)host.check_recipe(recipe); });
    CAPTURE(message);
    CHECK(contains(message, "--calibration-text"));
    CHECK(contains(message, "--planish"));
  }
  CHECK(contains(message_of([&] { (void)host.check_recipe("w4a4kv4+flatquant"); }), "--planish"));
  CHECK(message_of([&] { (void)host.check_recipe("w4a4kv4+hadamard"); }) == "no error");
  CHECK(message_of([&] { (void)host.check_recipe("w9a4"); }) != "no error");
  CHECK(contains(message_of([] { Host({.model = "/nowhere/model.gguf"}); }), "/nowhere/model.gguf"));
}

}  // namespace
}  // namespace llama::test
