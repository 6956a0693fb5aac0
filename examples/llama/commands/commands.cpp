#include "commands.hpp"

namespace llama {

void add_commands(CLI::App& program) {
  add_perplexity(program);
  add_compare(program);
  add_generate(program);
  add_bench(program);
  add_calibrate(program);
  add_report(program);
  add_merge(program);
  add_quantize(program);
  add_info(program);
}

}  // namespace llama
