#pragma once
// The program from its arguments on.
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "llama/commands/commands.hpp"

namespace llama::test {

/// Runs a command line; the message of what it threw, or "".
inline std::string run(std::vector<std::string> arguments) {
  CLI::App program("test", "planish-llama");
  program.require_subcommand(1);
  add_commands(program);
  std::reverse(arguments.begin(), arguments.end());
  try {
    program.parse(arguments);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace llama::test
