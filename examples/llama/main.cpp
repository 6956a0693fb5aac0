// planish-llama: a small Llama-family engine built on planish's public headers. It loads real checkpoints, quantizes
// them by a recipe, measures what that costs, and writes text.
#include <cstdio>
#include <exception>

#include <planish/core/version.hpp>

#include "calibration/calibrate.hpp"
#include "commands/commands.hpp"
#include "commands/manual.hpp"

int main(int argc, char** argv) {
  CLI::App program("quantize, score and run models of the Llama family", "planish-llama");
  program.require_subcommand(1);
  program.formatter(std::make_shared<llama::ManualFormatter>());
  llama::add_commands(program);
  program.set_version_flag("--version",
                           std::to_string(planish::version.major) + "." + std::to_string(planish::version.minor) + "." +
                               std::to_string(planish::version.patch) + " " + planish::abi_name,
                           "Print version and instruction set, and exit.");
  program.footer(llama::manual_footer(
      "Errors are one line on standard error that names file, tensor and reason; the exit code is then 2, and nothing "
      "was written. Progress goes to standard error, results to standard output. COMMAND --help explains a command.",
      "  planish-llama compare\n"
      "  planish-llama perplexity --text wiki.test.raw --recipe w8a8"));
  try {
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "planish-llama: %s\n", error.what());
  } catch (const llama::Interrupted& stop) {
    std::fprintf(stderr, "planish-llama: %s\n", stop.what());
    return 130;  // as the shell says of a command that Ctrl-C ended
  } catch (const std::exception& error) {
    std::fprintf(stderr, "planish-llama: %s\n", error.what());
  }
  return 2;
}
