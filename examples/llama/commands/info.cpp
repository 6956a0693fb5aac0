#include <cstdio>

#include "../calibration/written_files.hpp"
#include "../memory.hpp"
#include "../report.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct InfoArguments {
  HostOptions host;
  std::string recipe, json;
  bool all = false;
};

void print_facts(const WeightSource& source) {
  const Config& c = source.config();
  std::printf("%s\n  file              %s\n  identity          %s\n", c.name.c_str(), source.path().c_str(),
              source.identity().c_str());
  const auto line = [](const char* what, long long value) { std::printf("  %-17s %lld\n", what, value); };
  line("layers", c.layers);
  line("hidden size", c.hidden_size);
  line("feed-forward size", c.ffn_size);
  line("query heads", c.heads);
  line("key/value heads", c.kv_heads);
  line("head size", c.head_size);
  line("vocabulary", c.vocabulary);
  line("context", c.context);
  std::printf("  %-17s %s\n", "RoPE pairs",
              c.pairs == RotaryPairs::interleaved ? "interleaved (2i, 2i + 1)" : "halves (i, i + n/2)");
  std::printf("  %-17s %g\n", "norm epsilon", static_cast<double>(c.norm_epsilon));
  std::printf("  %-17s %s\n", "stored as", source.storage(layer_tensor(0, "q")).c_str());
  std::printf("  %-17s %s%s\n", "head", source.storage(c.tied_head ? "embedding" : "head").c_str(),
              c.tied_head ? ", tied to the embedding" : "");
  std::printf("  %-17s %s\n", "q/k/v biases", source.has(layer_tensor(0, "q.bias")) ? "yes" : "no");
  std::printf("  %-17s %s\n", "q/k norms", c.head_norms ? "yes" : "no");
}

void run(const InfoArguments& arguments) {
  Host host(arguments.host);
  const Recipe recipe = host.check_recipe(arguments.recipe);
  print_facts(host.source());
  reset_peak_memory();
  const Model model = host.build(recipe);
  RecipeFigures figures{.recipe = to_string(recipe)};
  figures.take_sizes(model);
  figures.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  std::printf("\nrecipe %s: %s bits per weight, %s MiB\n", figures.recipe.c_str(),
              fixed(figures.weight_bits, 2).c_str(), mebibytes(figures.model_bytes).c_str());

  if (const std::string text = calibration_of(arguments.host.planish); !text.empty())
    std::printf("learned by: %s\n", text.c_str());

  std::string before;
  for (std::size_t layer = 0; layer < model.blocks().size(); ++layer) {
    const std::string text = model.blocks()[layer].describe();
    if (text == before && !arguments.all) continue;  // layers mostly look alike
    std::printf("layer %zu%s\n%s", layer, arguments.all ? "" : " and those like it that follow", text.c_str());
    before = text;
  }
  std::printf("%s\n", model.head().describe().c_str());
  if (!arguments.json.empty()) write_json(arguments.json, to_json(host.source().path(), "", {figures}));
}

}  // namespace

void add_info(CLI::App& program) {
  auto arguments = std::make_shared<InfoArguments>();
  CLI::App& command = *program.add_subcommand("info", "show a model's facts, and what a recipe runs in each layer");
  add_model_options(command, arguments->host);
  add_recipe_option(command, arguments->recipe);
  add_recipe_options(command, arguments->host);
  command.add_flag("--all", arguments->all, "Every layer, also where it looks like the one before.")->group("Output");
  add_json_option(command, arguments->json);
  command.footer(
      manual_footer("Facts of the model file, then for each kind of layer which transform runs online at each site, "
                    "how its result is "
                    "quantized, and which product each matrix runs.",
                    "  planish-llama info --recipe w4a4kv4+hadamard"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
