#include <cstdio>
#include <filesystem>

#include "../memory.hpp"
#include "../model_artefact.hpp"
#include "../report.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct QuantizeArguments {
  HostOptions host;
  std::string recipe, out, json;
  bool packed = false;
};

void run(const QuantizeArguments& arguments) {
  Host host(arguments.host);
  const Recipe recipe = host.check_recipe(arguments.recipe);
  reset_peak_memory();
  ArtefactOutput artefact(host.source(), recipe);
  host.for_each_layer(recipe,
                      [&](index layer, const BlockParameters& p) { artefact.add_layer(layer, p, arguments.packed); });
  artefact.write(arguments.out);

  RecipeFigures figures{.recipe = to_string(recipe)};
  figures.model_bytes = static_cast<double>(std::filesystem::file_size(arguments.out));
  figures.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  std::printf("%s: %s of %s, %s MiB\n", arguments.out.c_str(), figures.recipe.c_str(), host.config().name.c_str(),
              mebibytes(figures.model_bytes).c_str());
  if (!arguments.json.empty())
    write_json(arguments.json, to_json(host.source().path(), arguments.host.calibration_text, {figures}));
}

}  // namespace

void add_quantize(CLI::App& program) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App& command =
      *program.add_subcommand("quantize", "write a recipe's transforms, quantizers and codes to a file");
  add_model_options(command, arguments->host);
  add_recipe_option(command, arguments->recipe);
  add_recipe_options(command, arguments->host);
  command.add_option("-o,--out", arguments->out, "The artefact to write, whole or not at all.")
      ->required()
      ->option_text("FILE")
      ->group("Output");
  command
      .add_flag(
          "--packed", arguments->packed,
          "Also keep the weights as the kernels read them: loading then maps the file instead of packing them, and "
          "processes share them. The file gets about twice as large.")
      ->group("Output");
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "Every command takes the file back by --planish and computes with it to the bit what the recipe computes. It "
      "holds "
      "the blocks; embedding, last norm and head stay in the model file, to which the artefact is tied by a hash.",
      "  planish-llama quantize --recipe w4a4kv4+scale+hadamard --calibration-text sampled --out model.planish\n"
      "  planish-llama quantize --planish flatquant.safetensors --out model.planish\n"
      "  planish-llama generate --planish model.planish --prompt 'The old lighthouse keeper'"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
