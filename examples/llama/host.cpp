#include "host.hpp"

#include <filesystem>

#include "cuda/backend.hpp"
#include "progress.hpp"
#include "require.hpp"
#include "sampled_sequences.hpp"
#include "text_source.hpp"
#include "tokenizer_files.hpp"

namespace llama {
namespace {

using planish::calibration::FlatQuantFile;

constexpr std::string_view learned_recipe = "w4a4kv4+flatquant";  // what parameters are for if nothing is said
constexpr std::string_view drawing_recipe = "w8a8";               // whoever draws text to learn from, it is the same

std::string default_model() { return cache_folder() + "/SmolLM2-135M-Instruct.Q4_1.gguf"; }

std::string model_path(const HostOptions& options) {
  if (!options.model.empty()) return options.model;
  std::error_code ignored;
  if (!std::filesystem::exists(default_model(), ignored))
    fail(default_model(), ": the default model is not there; examples/get_model.sh fetches it, or name one by --model");
  return default_model();
}

/// Refuses a backend that cannot run before anything is read.
const HostOptions& checked(const HostOptions& options) {
  if (options.backend == Backend::cpu) return options;
  if (options.fake) fail("--fake simulates on the CPU: leave it out, or use --backend cpu");
  gpu::require_gpu();
  return options;
}

}  // namespace

Host::Host(const HostOptions& options)
    : options_(checked(options)), pool_(options.threads), source_(WeightSource::open(model_path(options))) {
  if (!options_.no_amx) static_cast<void>(planish::enable_amx());  // where there is none, AVX-512 or less does the same
  if (options_.planish.empty()) return;
  auto file = require(planish::io::SafetensorsFile::open(options_.planish));
  if (!FlatQuantFile::is_one(file)) return;
  parameters_.emplace(require(FlatQuantFile::from(std::move(file))));
  options_.planish.clear();
}

const Tokenizer& Host::tokenizer() {
  if (tokenizer_) return *tokenizer_;
  const std::string path = find_tokenizer(options_.tokenizer.empty() ? source_->path() : options_.tokenizer);
  tokenizer_ = Tokenizer::from_file(path);
  if (tokenizer_->size() > config().vocabulary)
    fail(path, ": the tokenizer has ", tokenizer_->size(), " tokens, the model ", config().vocabulary);
  return *tokenizer_;
}

std::string Host::chat_template() const {
  return read_chat_template(find_tokenizer(options_.tokenizer.empty() ? source_->path() : options_.tokenizer));
}

std::shared_ptr<const Head> Host::head(int bits) {
  auto& head = heads_[bits];
  if (!head) head = std::make_shared<const Head>(*source_, bits);
  return head;
}

std::vector<int> Host::text_ids(const std::string& text) {
  if (text != sampled) return tokenizer().encode_prompt(read_text(text));
  std::vector<int> ids;
  for (const std::vector<int>& sequence : sampled_text().scoring)
    ids.insert(ids.end(), sequence.begin(), sequence.end());
  return ids;
}

std::vector<std::vector<int>> Host::sampled_sequences(index count, index length) {
  if (auto kept = load_sampled_sequences(*source_, count, length)) return *std::move(kept);
  const Model model = build_on_cpu(require(parse_recipe(drawing_recipe)), 16);
  Progress progress("drawing text from the model", static_cast<double>(count * length), "tokens");
  auto sequences = sample_sequences(model, tokenizer(), count, length, executor(),
                                    [&](index tokens) { progress.advance(static_cast<double>(tokens)); });
  heads_.clear();  // who learns from the text has no use for one
  store_sampled_sequences(*source_, sequences);
  return sequences;
}

const SampledText& Host::sampled_text() {
  if (!sampled_text_) sampled_text_ = load_sampled_text(*source_);
  if (!sampled_text_) {
    const Model model = build_on_cpu(Recipe{}, 16);  // whoever draws, the text is the same
    Progress progress("drawing text from the model", 2.0 * SampledText::sequences * SampledText::length, "tokens");
    sampled_text_ = sample_text(model, tokenizer(), executor(),
                                [&](index tokens) { progress.advance(static_cast<double>(tokens)); });
    store_sampled_text(*source_, *sampled_text_);
  }
  return *sampled_text_;
}

const std::vector<std::vector<int>>& Host::calibration_sequences() {
  if (!calibration_sequences_.empty()) return calibration_sequences_;
  if (options_.calibration_text == sampled) return calibration_sequences_ = sampled_text().calibration;
  const auto length = static_cast<std::size_t>(std::min<index>(512, config().context));
  const std::vector<int> ids = tokenizer().encode_prompt(read_text(options_.calibration_text));
  const Windows windows(ids, std::min(length, ids.size()), options_.calibration_text,
                        static_cast<std::size_t>(options_.calibration_tokens));
  for (std::size_t w = 0; w < windows.count(); ++w)
    calibration_sequences_.emplace_back(windows[w].begin(), windows[w].end());
  return calibration_sequences_;
}

Recipe Host::check_recipe(const std::string& text, bool only_the_artefacts) const {
  if (parameters_ && text.empty()) return require(parse_recipe(learned_recipe));
  if (!options_.planish.empty()) {
    const Recipe stored = ArtefactInput(options_.planish, *source_).recipe();
    if (text.empty() || require(parse_recipe(text)) == stored) return stored;
    if (only_the_artefacts && !require(parse_recipe(text)).is_float())
      fail(options_.planish, ": holds the recipe ", to_string(stored), ", not ", text);
  }
  const Recipe recipe = require(parse_recipe(text.empty() ? "fp32" : text));
  if (parameters_ && only_the_artefacts && !recipe.needs_parameters() && !recipe.is_float())
    fail(parameters_->path(), ": holds parameters of flatquant, which ", text, " does not use");
  if (recipe.needs_parameters() && !parameters_)
    fail("recipe ", text,
         " needs learned parameters: give --planish FILE (they do not follow from --calibration-text)");
  if (recipe.needs_statistics() && options_.calibration_text.empty())
    fail("recipe ", text, " needs statistics: give --calibration-text FILE, or --planish FILE with its parameters");
  return recipe;
}

StatisticsOf Host::statistics_for(const Recipe& recipe) {
  if (!recipe.needs_statistics()) return {};
  const StatisticsDetail detail = detail_for(recipe);
  if (detail.rows || detail.moments) {  // too large to keep: a pass of its own
    auto pass = std::make_shared<CalibrationPass>(*source_, calibration_sequences(), executor());
    return [pass, detail](index, const LayerWeights& weights) { return pass->next(weights, detail); };
  }
  if (ranges_.empty()) {
    CalibrationPass pass(*source_, calibration_sequences(), executor());
    Progress progress("collecting statistics", static_cast<double>(config().layers), "layers");
    for (index layer = 0; layer < config().layers; ++layer) {
      ranges_.push_back(pass.next(read_layer(*source_, layer), detail));
      progress.advance(1.0);
    }
  }
  return [this](index layer, const LayerWeights&) { return ranges_[static_cast<std::size_t>(layer)]; };
}

ParametersOf Host::learned_parameters() const {
  if (!parameters_) return {};
  return [this](index layer) { return require(parameters_->read(layer, flatquant_sizes(config()))); };
}

std::shared_ptr<const ArtefactInput> Host::open_artefact(const Recipe& recipe) const {
  if (options_.planish.empty()) return nullptr;
  auto artefact = std::make_shared<const ArtefactInput>(options_.planish, *source_);
  return artefact->recipe() == recipe ? artefact : nullptr;
}

void Host::for_each_layer(const Recipe& recipe, const ArtefactInput* artefact, ArtefactInput::Weights weights,
                          const std::function<void(index, BlockParameters)>& use) {
  const StatisticsOf statistics = artefact != nullptr ? StatisticsOf{} : statistics_for(recipe);
  Progress progress("building " + to_string(recipe), static_cast<double>(config().layers), "layers");
  const BuildOptions build{
      .recipe = recipe, .alpha = options_.alpha, .seed = options_.seed, .learned = learned_parameters()};
  for (index layer = 0; layer < config().layers; ++layer) {
    use(layer, artefact != nullptr ? artefact->layer(layer, weights)
                                   : build_layer(*source_, layer, build, statistics, executor()));
    progress.advance(1.0);
  }
}

Model Host::build(const Recipe& recipe, int head_bits) {
  Model model = build_on_cpu(recipe, head_bits);
  if (options_.backend == Backend::cuda) model.run_on(gpu::copy_to_gpu(model));
  return model;
}

Model Host::build_on_cpu(const Recipe& recipe, int head_bits) {
  const planish::SiteMode mode = options_.fake ? planish::SiteMode::fake : planish::SiteMode::packed;
  // A simulation multiplies the values of the codes, which packed ones do not give.
  const auto weights = options_.fake ? ArtefactInput::Weights::codes : ArtefactInput::Weights::mapped;
  const auto artefact = open_artefact(recipe);
  std::vector<Block> blocks;
  for_each_layer(recipe, artefact.get(), weights, [&](index layer, BlockParameters parameters) {
    blocks.emplace_back(config(), std::move(parameters), mode, source_->path() + ": layer " + std::to_string(layer));
  });
  return Model(source_, std::move(blocks), source_->read("norm", {1, config().hidden_size}), head(head_bits), artefact);
}

}  // namespace llama
