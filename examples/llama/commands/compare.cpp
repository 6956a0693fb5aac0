#include <chrono>
#include <cstdio>

#include "../memory.hpp"
#include "../progress.hpp"
#include "../report.hpp"
#include "../table.hpp"
#include "../text_source.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct CompareArguments {
  HostOptions host;
  std::vector<std::string> recipes;
  ScoredText scored;
  std::string json;
};

/// "12.34 ± 0.56"
std::string with_error(Estimate estimate, int digits) {
  const std::string error = significant(estimate.standard_error, 2);
  return significant(estimate.value, digits) + (error == "-" ? "" : " ± " + error);
}

Table table_of(const std::vector<RecipeFigures>& rows) {
  Table table({{"recipe", "", Align::left},
               {"perplexity"},
               {"KL to fp32", "nats"},
               {"top-1", "agreement"},
               {"weights", "bits"},
               {"model", "MiB"},
               {"peak", "MiB"},
               {"prefill", "tokens/s"},
               {"decode", "tokens/s"}});
  for (const RecipeFigures& row : rows)
    table.add_row({row.recipe, with_error(row.perplexity, 4), fixed(row.kl.value, 4), fixed(row.top1.value, 3),
                   fixed(row.weight_bits, 2), mebibytes(row.model_bytes), mebibytes(row.peak_memory_bytes),
                   fixed(row.prefill_tokens_per_s, 0), fixed(row.decode_tokens_per_s, 1)});
  return table;
}

/// All figures of one recipe. The first, FP32, leaves its hidden states in `reference` for the others.
RecipeFigures measure(Host& host, const Recipe& recipe, int head_bits, const Windows& windows,
                      HiddenStates& reference) {
  constexpr double decode_seconds = 2.0;
  constexpr std::size_t decode_prompt = 16;
  RecipeFigures figures{.recipe = to_string(recipe)};
  if (head_bits < 16) figures.recipe += " (head " + std::to_string(head_bits) + ")";
  const bool is_reference = reference.rows.empty();
  reset_peak_memory();
  const Model model = host.build(recipe, head_bits);
  figures.take_sizes(model);
  {
    Progress progress("scoring " + figures.recipe, static_cast<double>(windows.count() * windows.length()), "tokens");
    const Evaluation evaluation =
        evaluate(model, windows, {}, is_reference ? nullptr : &reference, is_reference ? &reference : nullptr,
                 host.executor(), [&](index tokens) { progress.advance(static_cast<double>(tokens)); });
    figures.perplexity = evaluation.score.perplexity();
    figures.kl = is_reference ? Estimate{} : evaluation.score.mean_kl();
    figures.top1 = is_reference ? Estimate{1.0, 0.0} : evaluation.score.top1_agreement();
    figures.prefill_tokens_per_s = evaluation.tokens_per_second();
  }
  figures.decode_tokens_per_s = measure_decode(model, windows[0].first(std::min(decode_prompt, windows.length())),
                                               decode_seconds, host.executor());
  figures.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  return figures;
}

void run(const CompareArguments& arguments) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  const auto start = Clock::now();
  Host host(arguments.host);
  std::vector<Recipe> recipes{Recipe{}};  // FP32 comes first: the others are measured against it
  const auto add = [&](const Recipe& recipe) {
    if (std::find(recipes.begin(), recipes.end(), recipe) == recipes.end()) recipes.push_back(recipe);
  };
  for (const std::string& text : arguments.recipes) add(host.check_recipe(text, false));
  if (arguments.recipes.empty())
    for (std::string_view text : default_recipes) add(host.check_recipe(std::string(text), false));
  if (!arguments.host.planish.empty()) add(host.check_recipe(""));

  const std::vector<int> ids = host.text_ids(arguments.scored.text);
  const Windows windows(ids, arguments.scored.context, arguments.scored.text, arguments.scored.tokens);
  const double text_seconds = seconds_since(start);
  HiddenStates reference;
  std::vector<RecipeFigures> rows;
  for (const Recipe& recipe : recipes) rows.push_back(measure(host, recipe, 16, windows, reference));
  if (arguments.host.head_bits < 16)
    rows.push_back(measure(host, Recipe{}, arguments.host.head_bits, windows, reference));

  std::printf("%s, %zu windows of %zu tokens of %s, %s threads\n\n%s\n", host.config().name.c_str(), windows.count(),
              windows.length(),
              arguments.scored.text == sampled ? "text drawn from the model" : arguments.scored.text.c_str(),
              std::to_string(host.executor().workers()).c_str(), table_of(rows).to_string().c_str());
  std::printf("weights: all matrices, the exact head among them, with their scales. text %s, table %s\n",
              duration_text(text_seconds).c_str(), duration_text(seconds_since(start) - text_seconds).c_str());
  if (!arguments.json.empty()) write_json(arguments.json, to_json(host.source().path(), arguments.scored.text, rows));
}

}  // namespace

void add_compare(CLI::App& program) {
  auto arguments = std::make_shared<CompareArguments>();
  arguments->host.calibration_text = sampled;
  CLI::App& command = *program.add_subcommand("compare", "compare recipes in one table: accuracy, size, memory, speed");
  add_model_options(command, arguments->host);
  add_backend_option(command, arguments->host);
  command
      .add_option("-r,--recipe", arguments->recipes,
                  "Only this recipe beside fp32 and that of --planish; may be repeated. Without it: the table of "
                  "thirteen, and that of --planish.")
      ->option_text("RECIPE")
      ->group("Quantization")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_recipe_options(command, arguments->host);
  add_text_options(command, arguments->scored);
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "One row per recipe. Perplexity with its standard error between windows; mean KL divergence of the predictions "
      "from FP32's, and how often both find the same token likeliest; bits per weight over all matrices, scales and "
      "the "
      "exact head counted; memory of the model; peak memory while the row was made; tokens per second of whole windows "
      "through the blocks, and of a single sequence token by token, head included. All rows score with the exact head; "
      "--head-bits adds a row that shows what a quantized head costs. Text drawn from the model "
      "(temperature 1, control tokens masked, 8 x 512 tokens to calibrate and as many with other seeds to score) is "
      "kept "
      "in ${XDG_CACHE_HOME:-$HOME/.cache}/planish.",
      "  planish-llama compare\n"
      "  planish-llama compare --recipe w8a8 --recipe w4a4kv4+scale+hadamard --text wiki.test.raw --tokens 20480"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
