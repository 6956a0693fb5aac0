#include "../calibration/calibrate.hpp"

#include <csignal>
#include <cstdio>
#include <optional>
#include <tuple>

#include "../calibration/ranks.hpp"
#include "../calibration/write_calibrated.hpp"
#include "../calibration/written_files.hpp"
#include "../memory.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"
#include "method_options.hpp"

namespace llama {
namespace {

struct CalibrateArguments {
  HostOptions host;
  MethodOptions method;
  std::string text = std::string(sampled), recipe = "w4a4kv4", method_name = "flatquant", out, parameters, blocks,
              trace;
  index samples = 16, window = 2048;
  bool spill = false, again = false, trace_float64 = false;
  index memory = 0;  // MiB
};

/// The options that were given and that decide what is learned, as a command line.
std::string command_text(const CLI::App& command) {
  std::string text = "planish-llama calibrate";
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_lnames().empty() ? "" : option->get_lnames().front();
    if (option->get_group() == "Memory" || name == "out" || name == "blocks" || name.starts_with("trace") ||
        name == "threads")
      continue;
    for (const std::string& value : option->results()) {
      const bool plain = !value.empty() && value.find_first_of(" '\"$&;<>()*?`\\|") == std::string::npos;
      text += " --" + name + ' ' + (plain ? value : '\'' + value + '\'');
    }
  }
  return text;
}

void print_memory(const CalibrationSummary& summary) {
  if (summary.learned == 0) return;
  const auto text = [](auto bytes) { return mebibytes(static_cast<double>(bytes)); };
  std::printf("peak memory %s MiB: activations %s MiB, one step %s MiB, block %s MiB\n",
              text(peak_memory_bytes()).c_str(), text(summary.activation_bytes).c_str(),
              text(summary.step_bytes).c_str(), text(summary.block_bytes).c_str());
}

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

/// The recipe whose parameters are learned: what was given, with the method's stage.
Recipe recipe_of(const CalibrateArguments& arguments) {
  Recipe recipe = require(parse_recipe(arguments.recipe));
  if (recipe.stages.empty()) recipe.stages.push_back(StageKind::flatquant);
  if (recipe.stages != std::vector<StageKind>{StageKind::flatquant})
    fail("--recipe ", arguments.recipe, ": flatquant learns the whole transform; give bits alone, for example w4a4kv4");
  if (recipe.is_float() ||
      (!recipe.quantizes_weights() && !recipe.quantizes_activations() && !recipe.quantizes_cache()))
    fail("--recipe ", arguments.recipe, ": nothing is quantized, so there is nothing to learn");
  if (recipe.static_activations) fail("--recipe ", arguments.recipe, ": flatquant learns dynamic activations");
  return recipe;
}

/// Learns what can be learned here, and writes the artefact where all of it is learned and no other process does.
void work(Host& host, CalibrationJob job, const CalibrateArguments& arguments) {
  const auto stop = [] { return interrupted != 0; };
  const bool writes = arguments.blocks.empty();
  const auto finished = [&] { return is_finished(host.source(), job) && (remove_leftovers(host.source(), job), true); };
  if (!arguments.again && is_written(host.source(), job, arguments.out, arguments.parameters)) {
    remove_leftovers(host.source(), job);
    if (job.share.rank == 0)
      std::printf("%s: is there already, made by the same calibration; --again makes it anew\n", arguments.out.c_str());
    return;
  }
  if (is_finished(host.source(), job)) job.result.clear();  // something that goes with it is asked for anew
  job.waits = false;
  reset_peak_memory();  // what the text took is over
  CalibrationSummary summary = calibrate(host.source(), job, host.executor(), stop);
  if (!writes) {
    std::printf("%s%s: blocks %s are calibrated%s\n", rank_text(job.share).c_str(), job.parts.c_str(),
                arguments.blocks.c_str(),
                summary.elsewhere.empty()
                    ? ""
                    : (", but for " + ranges_text(summary.elsewhere) + ", which other processes learn").c_str());
    print_memory(summary);
    return;
  }
  std::optional<FileLock> writer;
  if (!finished() && job.share.rank == 0) writer = claim_result(job.parts);
  if (!writer) {
    std::printf("%s%s: %td blocks learned here; another process writes %s\n", rank_text(job.share).c_str(),
                job.parts.c_str(), summary.learned, arguments.out.c_str());
    return;
  }
  job.waits = true;
  const CalibrationSummary rest = calibrate(host.source(), job, host.executor(), stop);
  if (finished()) return;
  write_calibrated(host, job, arguments.out, arguments.parameters);
  print_memory(rest.learned > 0 ? rest : summary);
}

void run(CalibrateArguments arguments, const std::string& command, JobShare share) {
  return_freed_memory();
  arguments.host.calibration_text = arguments.text;
  Host host(arguments.host);
  const Config& config = host.config();
  if (arguments.window > config.context)
    fail("--window ", arguments.window, ": the model's context is ", config.context);
  CalibrationJob job;
  job.options = arguments.method.options(recipe_of(arguments), arguments.window);
  if (job.options.method.weight_epochs > 0 && !arguments.parameters.empty())
    refuse_parameters_alone(arguments.parameters);
  job.windows = arguments.text == sampled
                    ? host.sampled_sequences(arguments.samples, arguments.window)
                    : calibration_windows(host.text_ids(arguments.text), arguments.samples, arguments.window,
                                          arguments.method.seed, arguments.text);
  job.parts = arguments.out + ".parts";
  job.result = arguments.out;
  job.command = command;
  job.share = share;
  job.trace = arguments.trace;
  job.trace_float64 = arguments.trace_float64;
  const auto activations = 2.0 * 4.0 * static_cast<double>(arguments.samples * arguments.window * config.hidden_size);
  job.spill =
      arguments.spill || (arguments.memory > 0 && activations > 1048576.0 * static_cast<double>(arguments.memory));
  std::tie(job.first_layer, job.last_layer) = arguments.blocks.empty() ? std::pair<index, index>(0, config.layers)
                                                                       : parse_blocks(arguments.blocks, config.layers);

  std::signal(SIGINT, note_interrupt);
  std::signal(SIGTERM, note_interrupt);
  work(host, std::move(job), arguments);
}

}  // namespace

void add_calibrate(CLI::App& program) {
  auto arguments = std::make_shared<CalibrateArguments>();
  CLI::App& command =
      *program.add_subcommand("calibrate", "learn transforms, clips and weights, and write the quantized model");
  add_model_options(command, arguments->host);
  command
      .add_option(
          "-t,--text", arguments->text,
          "Text to learn from: a file, of which windows are drawn by --seed, or the word 'sampled' for as many "
          "windows of text drawn from the model at 8 bits, the same for every seed and kept in the cache folder. "
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
  command
      .add_option("-r,--recipe", arguments->recipe,
                  "Bits, and +mse or +gptq where weights are not rounded to nearest. [w4a4kv4]")
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
                  "Also write transforms and clips alone, in the tensors of FlatQuant's reference implementation; not "
                  "with --weight-epochs, whose weights they do not hold.")
      ->option_text("FILE.safetensors")
      ->group("Output");
  command
      .add_option("--blocks", arguments->blocks,
                  "Learn only blocks FIRST to END - 1, or share I of N counted from 0, and leave them in FILE.parts; "
                  "the same command without this learns what is missing and writes the artefact, and so does merge.")
      ->option_text("FIRST:END|I/N")
      ->group("Output");
  command
      .add_flag("--spill", arguments->spill,
                "Keep activations in files of FILE.parts instead of memory. A run that goes on, and other processes on "
                "the same job, then start at the nearest block's file.")
      ->group("Memory");
  command
      .add_option("--memory", arguments->memory,
                  "Do so where the inputs and outputs of a block, all windows, would take more than this. [no limit]")
      ->check(CLI::Range(index{1}, index{1} << 40))
      ->option_text("MIB")
      ->group("Memory");
  command
      .add_option("--trace", arguments->trace,
                  "Also write what another implementation needs to learn the first block from the same start, and the "
                  "losses of its steps.")
      ->option_text("FILE.safetensors")
      ->group("Output");
  command
      .add_flag("--trace-float64", arguments->trace_float64,
                "Learn that block's transforms and clips in double precision too, and add those losses to the trace.")
      ->needs("--trace")
      ->group("Output");
  command.footer(manual_footer(
      "Blocks learn one after the other from the float model's own activations. Every finished block is kept, so that "
      "a run that was stopped or killed goes on where it was; the same seed gives the same bits on any number of "
      "threads and processes. The artefact says which calibration made it (info shows it): where it is there already, "
      "nothing is done; one that another calibration made is replaced, once the new one is whole. Exit code 130: "
      "stopped by a signal.\n\n"
      "Processes that are given the same command in the same folder, on one machine or on several with a common disk, "
      "share the blocks; one of them writes the artefact, the others end before. Who dies leaves its block to the "
      "rest. Under mpirun (built with PLANISH_MPI) ranks start apart; where mpirun ends all ranks with the first that "
      "dies, the same command goes on. Without a common disk, and in job arrays, give each its blocks by --blocks and "
      "put them together by merge.",
      "  planish-llama calibrate --text train.txt --recipe w4a4kv4 --out model.planish\n"
      "  mpirun -n 8 planish-llama calibrate --text train.txt --threads 4 --out model.planish\n"
      "  planish-llama calibrate --text train.txt --blocks $SLURM_ARRAY_TASK_ID/10 --out model.planish\n"
      "  planish-llama perplexity --planish model.planish --text wiki.test.raw --context 2048"));
  command.callback([arguments, &command] {
    const JobShare share = ranks();
    try {
      run(*arguments, command_text(command), share);
    } catch (const std::exception& error) {
      throw Error(rank_text(share) + error.what());
    }
  });
}

}  // namespace llama
