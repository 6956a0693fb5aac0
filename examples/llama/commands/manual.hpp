#pragma once
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

namespace llama {

/// Writes `--help` like a manual page: name, synopsis, every option with its text below it, then the footer.
class ManualFormatter final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

/// The footer of a command: what it does, the grammar of recipes unless `recipes` is false, and examples.
[[nodiscard]] std::string manual_footer(std::string_view description, std::string_view examples, bool recipes = true);

}  // namespace llama
