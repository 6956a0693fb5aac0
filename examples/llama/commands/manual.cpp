#include "manual.hpp"

#include <algorithm>
#include <sstream>

#include "../recipe.hpp"

namespace llama {
namespace {

constexpr std::size_t line_width = 100;

/// The words of a text on lines of at most `line_width` characters, each behind `indent` spaces.
std::string wrapped(const std::string& text, std::size_t indent) {
  std::istringstream words(text);
  std::string lines, line;
  const auto flush = [&] {
    if (!line.empty()) lines += std::string(indent, ' ') + line + '\n';
    line.clear();
  };
  for (std::string word; words >> word;) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > line_width) flush();
    line += (line.empty() ? "" : " ") + word;
  }
  flush();
  return lines;
}

std::string upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

/// "-m, --model FILE|DIR"
std::string spelling(const CLI::Option& option) {
  std::string text;
  for (const std::string& name : option.get_snames()) text += (text.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) text += (text.empty() ? "--" : ", --") + name;
  return option.get_option_text().empty() ? text : text + ' ' + option.get_option_text();
}

}  // namespace

std::string ManualFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode /*mode*/) const {
  const std::vector<const CLI::App*> commands = app->get_subcommands({});
  std::string text = "NAME\n" + wrapped(name + " - " + app->get_description(), 2) + "\nSYNOPSIS\n  " + name +
                     (commands.empty() ? "" : " COMMAND");
  for (const CLI::Option* option : app->get_options())
    if (option->get_required()) text += " --" + option->get_lnames().front() + ' ' + option->get_option_text();
  text += " [OPTION]...\n";
  if (!commands.empty()) text += "\nCOMMANDS\n";
  for (const CLI::App* command : commands) {
    text += "  " + command->get_name();
    text.append(12 - std::min<std::size_t>(11, command->get_name().size()), ' ');
    text += command->get_description() + '\n';
  }
  std::vector<std::string> groups = app->get_groups();  // "Options", which holds --help, comes last
  std::stable_partition(groups.begin(), groups.end(), [](const std::string& group) { return group != "Options"; });
  for (const std::string& group : groups) {
    const auto options = app->get_options([&](const CLI::Option* option) { return option->get_group() == group; });
    if (group.empty() || options.empty()) continue;
    text += '\n' + upper_case(group) + '\n';
    for (const CLI::Option* option : options)
      text += "  " + spelling(*option) + '\n' + wrapped(option->get_description(), 6);
  }
  return text + '\n' + app->get_footer() + '\n';
}

std::string manual_footer(std::string_view description, std::string_view examples, bool recipes) {
  std::string text;
  if (!description.empty()) text += "DESCRIPTION\n" + wrapped(std::string(description), 2) + '\n';
  if (recipes) {
    text += "RECIPES\n  " + std::string(recipe_grammar);
    text +=
        "\n\n"
        "  w, a      bits of weights and of activations; 16 stays float32\n"
        "  s         static activation scales, from calibration, instead of one per token\n"
        "  kv, k, v  bits of cached keys and values\n"
        "  g         columns of a weight row that share a scale; without it one scale per row\n"
        "  stage     what inputs meet before they are quantized, in this order, at every site where it\n"
        "            applies: shift (Outlier Suppression), scale (SmoothQuant), hadamard, kronecker (random\n"
        "            orthogonal factors), flatquant (learned: parameters come by --planish; stands alone)\n"
        "  mse gptq  weights are rounded with the range of least squared error, or by GPTQ\n"
        "  site      attn, o, mlp or down, with bits of its own: w4a4kv4+hadamard,down=w8a8\n\n";
  }
  return text + "EXAMPLES\n" + std::string(examples);
}

}  // namespace llama
