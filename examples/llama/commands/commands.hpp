#pragma once
#include <CLI/CLI.hpp>

#include "../host.hpp"

namespace llama {

// Each adds its subcommand, options and manual page to the program, and what runs when it is chosen. What goes wrong is
// an Error.
void add_perplexity(CLI::App& program);
void add_compare(CLI::App& program);
void add_generate(CLI::App& program);
void add_quantize(CLI::App& program);
void add_calibrate(CLI::App& program);
void add_report(CLI::App& program);
void add_merge(CLI::App& program);
void add_info(CLI::App& program);
void add_bench(CLI::App& program);

/// All of them, in the order of the manual.
void add_commands(CLI::App& program);

/// --model, --tokenizer, --threads.
void add_model_options(CLI::App& command, HostOptions& options);

/// --calibration-text, --planish, --alpha, --seed, --head-bits, --fake.
void add_recipe_options(CLI::App& command, HostOptions& options);

/// --backend.
void add_backend_option(CLI::App& command, HostOptions& options);

/// --recipe, with the grammar.
void add_recipe_option(CLI::App& command, std::string& recipe);

/// The text that a command scores, and how it is cut.
struct ScoredText {
  std::string text = std::string(sampled);
  std::size_t context = 512;  // tokens of a window
  std::size_t tokens = 0;     // at most so many; 0: all
};

/// --text, --context, --tokens.
void add_text_options(CLI::App& command, ScoredText& options);

/// --json.
void add_json_option(CLI::App& command, std::string& path);

}  // namespace llama
