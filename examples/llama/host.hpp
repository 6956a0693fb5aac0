#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "build.hpp"
#include "evaluate.hpp"
#include "model.hpp"
#include "model_artefact.hpp"
#include "sample_text.hpp"
#include "thread_pool.hpp"
#include "tokenizer.hpp"

namespace llama {

/// Where the blocks and the head of a model run.
enum class Backend { cpu, cuda };

/// Which model, and what a recipe may draw on: the options that all commands share.
struct HostOptions {
  std::string model = {};             ///< .gguf, .safetensors or a folder; empty: the default model in the cache folder
  std::string tokenizer = {};         ///< a file or folder that find_tokenizer knows; empty: the model's own
  std::string planish = {};           ///< artefact, or FlatQuant's parameters; empty: none
  std::string calibration_text = {};  ///< a file, or "sampled"; empty: none
  index calibration_tokens = 8192;
  float alpha = 0.5f;
  std::uint64_t seed = 1;
  int head_bits = 16;
  int threads = 0;
  bool no_amx = false;
  bool fake = false;
  Backend backend = Backend::cpu;
};

/// The word that stands for text drawn from the model instead of a file.
inline constexpr std::string_view sampled = "sampled";

/// An open model file, its tokenizer, threads, and the way from a recipe to a model. What is expensive (sampled text,
/// statistics) is made when it is first asked for, and kept.
class Host {
 public:
  explicit Host(const HostOptions& options);

  [[nodiscard]] const WeightSource& source() const noexcept { return *source_; }
  [[nodiscard]] const Config& config() const noexcept { return source_->config(); }
  [[nodiscard]] ExecutorReference executor() noexcept { return ExecutorReference(pool_); }
  [[nodiscard]] const Tokenizer& tokenizer();

  /// The model's chat template; throws Error if its file has none.
  [[nodiscard]] std::string chat_template() const;

  /// The ids of a text file, or of the sampled text that is there for scoring.
  [[nodiscard]] std::vector<int> text_ids(const std::string& text);

  /// Text to learn from, drawn from the model at 8 bits, which is quicker: the first `count` sequences of `length`
  /// tokens, from the cache folder where it has them. Shows progress.
  [[nodiscard]] std::vector<std::vector<int>> sampled_sequences(index count, index length);

  /// The recipe that `text` spells; if it is empty, the artefact's, or w4a4kv4+flatquant for a file of parameters, or
  /// fp32. Throws Error on bad spelling, where the recipe needs statistics or parameters and nothing brings them, and,
  /// if `only_the_artefacts`, where a file was given and the recipe does not use it.
  [[nodiscard]] Recipe check_recipe(const std::string& text, bool only_the_artefacts = true) const;

  /// Blocks of the recipe, or of the artefact, and a head of `head_bits`, where the options say. Shows progress.
  [[nodiscard]] Model build(const Recipe& recipe, int head_bits);
  [[nodiscard]] Model build(const Recipe& recipe) { return build(recipe, options_.head_bits); }

  /// Parameters of the recipe's layers, one after the other; what `build` packs.
  void for_each_layer(const Recipe& recipe, const std::function<void(index, BlockParameters)>& use) {
    for_each_layer(recipe, open_artefact(recipe).get(), ArtefactInput::Weights::codes, use);
  }

 private:
  [[nodiscard]] Model build_on_cpu(const Recipe& recipe, int head_bits);
  /// The artefact, if it holds this recipe, else null.
  [[nodiscard]] std::shared_ptr<const ArtefactInput> open_artefact(const Recipe& recipe) const;
  void for_each_layer(const Recipe& recipe, const ArtefactInput* artefact, ArtefactInput::Weights weights,
                      const std::function<void(index, BlockParameters)>& use);
  [[nodiscard]] std::shared_ptr<const Head> head(int bits);
  [[nodiscard]] const SampledText& sampled_text();
  [[nodiscard]] const std::vector<std::vector<int>>& calibration_sequences();
  [[nodiscard]] StatisticsOf statistics_for(const Recipe& recipe);
  [[nodiscard]] ParametersOf learned_parameters() const;

  HostOptions options_;
  ThreadPool pool_;
  std::shared_ptr<const WeightSource> source_;
  std::optional<planish::calibration::FlatQuantFile> parameters_;  // if that is what --planish names
  std::optional<Tokenizer> tokenizer_;
  std::map<int, std::shared_ptr<const Head>> heads_;  // by bits
  std::optional<SampledText> sampled_text_;
  std::vector<std::vector<int>> calibration_sequences_;
  std::vector<LayerStatistics> ranges_;  // by layer, once collected
};

}  // namespace llama
