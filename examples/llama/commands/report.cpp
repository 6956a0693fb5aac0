#include <cstdio>

#include "../json_output.hpp"
#include "../report_page/page.hpp"
#include "../report_page/record_json.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct ReportArguments {
  std::string planish, out, json;
};

void run(const ReportArguments& arguments) {
  if (arguments.out.empty() && arguments.json.empty()) fail("report: give --out FILE.html, --json FILE, or both");
  const CalibrationRecord record = read_calibration(arguments.planish);
  if (!arguments.json.empty()) write_json(arguments.json, to_json(record));
  if (arguments.out.empty()) return;
  const std::string page = report_page(record);
  write_file_atomically(arguments.out, page);
  if (arguments.json != "-")
    std::printf("%s: %s of %s, %zu blocks, %s MiB\n", arguments.out.c_str(), to_string(record.recipe).c_str(),
                record.model.c_str(), record.blocks.size(), mebibytes(static_cast<double>(page.size())).c_str());
}

}  // namespace

void add_report(CLI::App& program) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App& command = *program.add_subcommand("report", "show what a calibration did, as a page to read");
  command.add_option("--planish", arguments->planish, "An artefact that calibrate wrote.")
      ->required()
      ->option_text("FILE")
      ->group("Input");
  command.add_option("-o,--out", arguments->out, "The HTML page to write, whole or not at all.")
      ->option_text("FILE.html")
      ->group("Output");
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "One page that needs no model, no text, no network and no script: how flat the channels of every site and of the "
      "keys became, the output error of every site plain, with Hadamard and learned, losses of all steps, and a table "
      "with kurtosis and clips of every block. All of it was measured while the blocks learned and lies in the "
      "artefact, as tensors layers.i.calibration.*",
      "  planish-llama calibrate --text train.txt --out model.planish\n"
      "  planish-llama report --planish model.planish --out report.html",
      false));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
