#include "../calibration/merge_parts.hpp"
#include "../calibration/write_calibrated.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct MergeArguments {
  HostOptions host;
  std::string out, parameters;
  std::vector<std::string> parts;
};

void run(MergeArguments arguments) {
  if (arguments.parts.empty()) arguments.parts.push_back(arguments.out + ".parts");
  Host host(arguments.host);
  const MergedJob job = merge_parts(host.source(), arguments.parts, arguments.out);
  const CalibrationOptions options{.recipe = job.recipe};
  CalibratedLayers layers(host.source(), {}, options, false, host.executor());
  write_blocks(host, job, layers, arguments.out, arguments.parameters);
}

}  // namespace

void add_merge(CLI::App& program) {
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App& command = *program.add_subcommand("merge", "write the quantized model from calibrated blocks");
  add_model_options(command, arguments->host);
  command
      .add_option("--parts", arguments->parts,
                  "A folder of finished blocks; may come several times, for blocks that were learned on machines "
                  "without a common disk. Without it: FILE.parts. Folders are left as they are.")
      ->option_text("FOLDER")
      ->group("Input");
  command.add_option("-o,--out", arguments->out, "The artefact to write, whole or not at all.")
      ->required()
      ->option_text("FILE")
      ->group("Output");
  command
      .add_option("--parameters", arguments->parameters,
                  "Also write transforms and clips alone, in the tensors of FlatQuant's reference implementation.")
      ->option_text("FILE.safetensors")
      ->group("Output");
  command.footer(manual_footer(
      "Puts together what several runs of calibrate --blocks have learned; the file is the same to the bit as that of "
      "one run. The blocks say themselves which calibration they belong to.",
      "  planish-llama calibrate --text train.txt --blocks 0:15 --out model.planish      # on one machine\n"
      "  planish-llama calibrate --text train.txt --blocks 15:30 --out model.planish     # on another one\n"
      "  planish-llama merge --parts one/model.planish.parts --parts other/model.planish.parts --out model.planish",
      false));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
