// planish-llama: a small Llama-family engine built on planish's public headers. It loads real checkpoints, quantizes
// them by a recipe, measures what that costs, and writes text.
#include <cstdio>
#include <exception>

#include <planish/core/version.hpp>

#include "commands/commands.hpp"

int main(int argc, char** argv) {
  CLI::App program("Quantize, score and run models of the Llama family with planish.", "planish-llama");
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  program.set_help_all_flag("--help-all", "Show the help of every command.");
  llama::add_perplexity(program);
  llama::add_compare(program);
  llama::add_generate(program);
  llama::add_quantize(program);
  llama::add_info(program);
  program.footer(
      "RECIPES\n"
      "  fp32, or  w<2-8|16>a<2-8|16>[s][kv<b>|k<b>v<b>][g<n>]{+<stage>}[+mse|+gptq]{,<site>=w<b>a<b>}\n"
      "  w, a      bits of weights and activations; 16 stays float32. s: static activation scales\n"
      "  kv, k, v  bits of cached keys and values; g: columns of a weight row that share a scale\n"
      "  stages    in the order the data meets them, at every site where they apply: shift, scale, hadamard, "
      "kronecker\n"
      "  rounding  nearest, or with a range of least squared error (mse), or gptq\n"
      "  site      attn, o, mlp, down: bits of its own, for example w4a4kv4+hadamard,down=w8a8\n"
      "\nErrors are one line on standard error that names file, tensor and reason; the exit code is then 2 and nothing "
      "was\n"
      "written. planish-llama COMMAND --help explains a command.");
  try {
    program.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "planish-llama: %s\n", error.what());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "planish-llama: %s\n", error.what());
  }
  return 2;
}
