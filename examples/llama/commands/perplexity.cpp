#include <cstdint>
#include <cstdio>

#include <planish/io/safetensors_writer.hpp>

#include "../memory.hpp"
#include "../progress.hpp"
#include "../report.hpp"
#include "../table.hpp"
#include "../text_source.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct PerplexityArguments {
  HostOptions host;
  ScoredText scored;
  std::string recipe, json, logits;
  FeedOptions feed;
};

/// Writes the ids of the first window and the logits after each of them but the last.
void write_logits(const std::string& path, const Windows& windows, const HiddenStates& states, Host& host) {
  const auto rows = static_cast<index>(windows.length()) - 1, columns = host.config().vocabulary;
  const MatrixView<const float> hidden(states.rows.data(), rows, host.config().hidden_size);
  FloatRows logits;
  ScratchBytes scratch;
  const MatrixView<float> view = logits.view(rows, columns);
  states.head->logits(hidden, view, scratch, host.executor());
  std::vector<std::int32_t> ids(windows[0].begin(), windows[0].end() - 1);
  planish::io::SafetensorsWriter writer;
  require(writer.add_view("input_ids", planish::io::Dtype::i32, {rows}, std::as_bytes(std::span(ids))), path);
  require(writer.add_view("logits", planish::io::Dtype::f32, {rows, columns},
                          std::as_bytes(std::span(view.data(), static_cast<std::size_t>(view.size())))),
          path);
  require(writer.write(path), path);
}

void run(const PerplexityArguments& arguments) {
  Host host(arguments.host);
  const Recipe recipe = host.check_recipe(arguments.recipe);
  const std::vector<int> ids = host.text_ids(arguments.scored.text);
  const Windows windows(ids, arguments.scored.context, arguments.scored.text, arguments.scored.tokens);
  reset_peak_memory();
  const Model model = host.build(recipe);

  Progress progress("scoring " + to_string(recipe), static_cast<double>(windows.count() * windows.length()), "tokens");
  HiddenStates states;
  const Evaluation evaluation =
      evaluate(model, windows, arguments.feed, nullptr, arguments.logits.empty() ? nullptr : &states, host.executor(),
               [&](index tokens) { progress.advance(static_cast<double>(tokens)); });
  RecipeFigures figures{.recipe = to_string(recipe)};
  figures.take_sizes(model);
  figures.perplexity = evaluation.score.perplexity();
  figures.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  (arguments.feed.decode ? figures.decode_tokens_per_s : figures.prefill_tokens_per_s) = evaluation.tokens_per_second();
  std::printf("%s: perplexity %s ± %s over %lld predictions in %d windows of %zu; %s tokens/s\n",
              figures.recipe.c_str(), significant(figures.perplexity.value, 5).c_str(),
              significant(figures.perplexity.standard_error, 2).c_str(),
              static_cast<long long>(evaluation.score.predictions()), evaluation.score.windows(), windows.length(),
              fixed(evaluation.tokens_per_second(), 0).c_str());
  if (!arguments.logits.empty()) write_logits(arguments.logits, windows, states, host);
  if (!arguments.json.empty())
    write_json(arguments.json, to_json(host.source().path(), arguments.scored.text, {figures}));
}

}  // namespace

void add_perplexity(CLI::App& program) {
  auto arguments = std::make_shared<PerplexityArguments>();
  CLI::App& command = *program.add_subcommand("perplexity", "score a text with one recipe");
  add_model_options(command, arguments->host);
  add_backend_option(command, arguments->host);
  add_recipe_option(command, arguments->recipe);
  add_recipe_options(command, arguments->host);
  add_text_options(command, arguments->scored);
  const char* group = "Text";
  auto* decode = command.add_flag("--decode", arguments->feed.decode, "Feed one token at a time, as generation does.")
                     ->group(group);
  command
      .add_option_function<std::uint64_t>(
          "--cuts", [arguments](std::uint64_t seed) { arguments->feed.cuts = seed; },
          "Feed windows in pieces of random length, drawn with this seed.")
      ->option_text("SEED")
      ->excludes(decode)
      ->group(group);
  command
      .add_option("--logits", arguments->logits,
                  "Also write the ids of the first window and the logits after each, as safetensors.")
      ->option_text("FILE")
      ->group("Output");
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "The text is tokenized as one string, with no beginning-of-sequence token unless the model asks for one, and cut "
      "into windows that do not overlap; a rest shorter than a window is left out. Perplexity is the exponential of "
      "the "
      "mean negative log likelihood over all predictions inside all windows; its standard error comes from the spread "
      "between windows.",
      "  planish-llama perplexity --text wiki.test.raw --context 2048\n"
      "  planish-llama perplexity --text wiki.test.raw --recipe w4a4kv4+hadamard --tokens 20480\n"
      "  planish-llama perplexity --recipe w8a8+scale --calibration-text sampled --alpha 0.4"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
