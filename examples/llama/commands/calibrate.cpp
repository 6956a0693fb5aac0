#include "../calibration/calibrate.hpp"

#include <csignal>
#include <cstdio>

#include "../calibration/write_calibrated.hpp"
#include "../calibration/written_files.hpp"
#include "commands.hpp"
#include "manual.hpp"
#include "method_options.hpp"

namespace llama {
namespace {

struct Arguments {
  HostOptions host;
  MethodOptions method;
  std::string text = std::string(sampled), recipe = "w4a4kv4", method_name = "flatquant", out, parameters, blocks,
              trace;
  index samples = 16, window = 2048;
  bool again = false;
};

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

/// The recipe whose parameters are learned: what was given, with the method's stage.
Recipe recipe_of(const Arguments& arguments) {
  Recipe recipe = require(parse_recipe(arguments.recipe));
  if (recipe.stages.empty()) recipe.stages.push_back(StageKind::flatquant);
  if (recipe.stages != std::vector<StageKind>{StageKind::flatquant})
    fail("--recipe ", arguments.recipe, ": flatquant learns the whole transform; give bits alone, for example w4a4kv4");
  if (recipe.is_float() ||
      (!recipe.quantizes_weights() && !recipe.quantizes_activations() && !recipe.quantizes_cache()))
    fail("--recipe ", arguments.recipe, ": nothing is quantized, so there is nothing to learn");
  if (recipe.rounding != Rounding::nearest)
    fail("--recipe ", arguments.recipe, ": calibrate without +", to_string(recipe.rounding),
         ", keep --parameters FILE, and round with: planish-llama quantize --planish FILE --recipe ",
         "w4a4kv4+flatquant+", to_string(recipe.rounding));
  if (recipe.static_activations) fail("--recipe ", arguments.recipe, ": flatquant learns dynamic activations");
  return recipe;
}

/// "3:7" as [3, 7).
void set_blocks(const std::string& text, index layers, CalibrationJob& job) {
  job.first_layer = 0;
  job.last_layer = layers;
  if (text.empty()) return;
  int read = 0;
  if (std::sscanf(text.c_str(), "%td:%td%n", &job.first_layer, &job.last_layer, &read) != 2 ||
      static_cast<std::size_t>(read) != text.size() || job.first_layer < 0 || job.first_layer >= job.last_layer ||
      job.last_layer > layers)
    fail("--blocks ", text, ": give FIRST:END within 0:", layers);
}

void run(Arguments arguments) {
  arguments.host.calibration_text = arguments.text;
  Host host(arguments.host);
  const Config& config = host.config();
  if (arguments.window > config.context)
    fail("--window ", arguments.window, ": the model's context is ", config.context);
  CalibrationJob job;
  job.options = {.recipe = recipe_of(arguments), .method = arguments.method.method(), .window = arguments.window};
  job.windows = arguments.text == sampled
                    ? host.sampled_sequences(arguments.samples, arguments.window)
                    : calibration_windows(host.text_ids(arguments.text), arguments.samples, arguments.window,
                                          arguments.method.seed, arguments.text);
  job.parts = arguments.out + ".parts";
  job.trace = arguments.trace;
  set_blocks(arguments.blocks, config.layers, job);

  if (!arguments.again && is_written(host.source(), job, arguments.out, arguments.parameters)) {
    std::printf("%s: is there already, made by the same calibration; --again makes it anew\n", arguments.out.c_str());
    return;
  }

  std::signal(SIGINT, note_interrupt);
  std::signal(SIGTERM, note_interrupt);
  calibrate(host.source(), job, host.executor(), [] { return interrupted != 0; });
  if (!arguments.blocks.empty()) {
    std::printf("%s: blocks %td:%td are calibrated\n", job.parts.c_str(), job.first_layer, job.last_layer);
    return;
  }
  write_calibrated(host, job, arguments.out, arguments.parameters);
}

}  // namespace

void add_calibrate(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *program.add_subcommand("calibrate", "learn transforms and clips, and write the quantized model");
  add_model_options(command, arguments->host);
  command
      .add_option("-t,--text", arguments->text,
                  "Text to learn from: a file, of which windows are drawn by --seed, or the word 'sampled' for as many "
                  "windows of text drawn from the FP32 model, the same for every seed and kept in the cache folder. "
                  "[sampled]")
      ->option_text("FILE|sampled")
      ->group("Text");
  command.add_option("--samples", arguments->samples, "Windows to learn from. [16]")
      ->check(CLI::Range(index{1}, index{1} << 20))
      ->option_text("N")
      ->group("Text");
  command.add_option("--window", arguments->window, "Tokens of a window. [2048]")
      ->check(CLI::Range(index{2}, index{1} << 20))
      ->option_text("N")
      ->group("Text");
  command.add_option("-r,--recipe", arguments->recipe, "Bits, as in RECIPES without stages. [w4a4kv4]")
      ->option_text("RECIPE")
      ->group("Method");
  command.add_option("--method", arguments->method_name, "What learns. [flatquant]")
      ->check(CLI::IsMember(std::vector<std::string>{"flatquant"}))
      ->option_text("flatquant")
      ->group("Method");
  add_method_options(command, arguments->method);
  command
      .add_option("-o,--out", arguments->out,
                  "The artefact to write, whole or not at all. Finished blocks lie in FILE.parts until then.")
      ->required()
      ->option_text("FILE")
      ->group("Output");
  command
      .add_flag("--again", arguments->again,
                "Learn anew, even if the artefact is there and the same calibration made it.")
      ->group("Output");
  command
      .add_option("--parameters", arguments->parameters,
                  "Also write transforms and clips alone, in the tensors of FlatQuant's reference implementation.")
      ->option_text("FILE.safetensors")
      ->group("Output");
  command
      .add_option("--blocks", arguments->blocks,
                  "Learn only blocks FIRST to END - 1 and leave them in FILE.parts; the same command without this "
                  "learns what is missing and writes the artefact.")
      ->option_text("FIRST:END")
      ->group("Output");
  command
      .add_option("--trace", arguments->trace,
                  "Also write what another implementation needs to learn the first block from the same start, and the "
                  "losses of its steps.")
      ->option_text("FILE.safetensors")
      ->group("Output");
  command.footer(manual_footer(
      "Blocks learn one after the other from the float model's own activations. Every finished block is kept, so that "
      "a run that was stopped or killed goes on where it was; the same seed gives the same bits on any number of "
      "threads. The artefact says which calibration made it (info shows it): where it is there already, nothing is "
      "done; one that another calibration made is replaced, once the new one is whole. Exit code 130: stopped by a "
      "signal.",
      "  planish-llama calibrate --text train.txt --recipe w4a4kv4 --out model.planish\n"
      "  planish-llama perplexity --planish model.planish --text wiki.test.raw --context 2048"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
