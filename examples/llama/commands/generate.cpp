#include <algorithm>
#include <chrono>
#include <cstdio>

#include "../chat.hpp"
#include "../memory.hpp"
#include "../report.hpp"
#include "../sampler.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct GenerateArguments {
  HostOptions host;
  std::string recipe, prompt, json;
  index tokens = 128;
  SamplerOptions sampler{.temperature = 0.0f};
  bool chat = false;
};

void run(const GenerateArguments& arguments) {
  using Clock = std::chrono::steady_clock;
  Host host(arguments.host);
  const Recipe recipe = host.check_recipe(arguments.recipe);
  const Tokenizer& tokenizer = host.tokenizer();
  const std::vector<int> prompt =
      arguments.chat
          ? tokenizer.encode_prompt(ChatTemplate(host.chat_template()).prompt(arguments.prompt), SpecialTokens::parsed)
          : tokenizer.encode_prompt(arguments.prompt);
  if (prompt.empty()) fail("the prompt is empty");
  const auto length = static_cast<index>(prompt.size());
  if (length + arguments.tokens > host.config().context)
    fail("a prompt of ", length, " tokens and ", arguments.tokens, " more exceed the model's context of ",
         host.config().context);

  reset_peak_memory();
  const Model model = host.build(recipe);
  Session session(model, 1, length + arguments.tokens, host.executor());
  Sampler sampler(arguments.sampler, arguments.host.seed);
  const std::vector<int> ends = tokenizer.end_tokens();
  if (!arguments.chat) std::fputs(arguments.prompt.c_str(), stdout);

  auto logits = session.logits(session.forward(prompt).middle_rows(length - 1, 1));
  const auto start = Clock::now();
  index made = 0;
  while (true) {
    const int id = sampler.sample({logits.data(), static_cast<std::size_t>(logits.columns())});
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) break;
    const std::string_view piece = tokenizer.piece(id);
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
    if (++made == arguments.tokens) break;
    logits = session.logits(session.forward({&id, 1}));
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::fputs("\n", stdout);

  RecipeFigures figures{.recipe = to_string(recipe)};
  figures.take_sizes(model);
  figures.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  if (made > 1) figures.decode_tokens_per_s = static_cast<double>(made - 1) / seconds;
  if (!arguments.json.empty()) write_json(arguments.json, to_json(host.source().path(), arguments.prompt, {figures}));
}

}  // namespace

void add_generate(CLI::App& program) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App& command = *program.add_subcommand("generate", "continue a prompt, or answer it");
  add_model_options(command, arguments->host);
  add_backend_option(command, arguments->host);
  add_recipe_option(command, arguments->recipe);
  add_recipe_options(command, arguments->host);
  const char* group = "Text";
  command.add_option("-p,--prompt", arguments->prompt, "The text to continue.")
      ->required()
      ->option_text("TEXT")
      ->group(group);
  command.add_option("-n,--tokens", arguments->tokens, "Write at most so many tokens. [128]")
      ->check(CLI::Range(index{1}, index{1} << 20))
      ->option_text("N")
      ->group(group);
  command.add_flag("--chat", arguments->chat, "Put the prompt into the model's chat template: a question to answer.")
      ->group(group);
  command.add_option("--temperature", arguments->sampler.temperature, "0: always the likeliest token. [0]")
      ->option_text("T")
      ->group(group);
  command.add_option("--top-k", arguments->sampler.top_k, "Draw from the K likeliest tokens; 0: from all. [0]")
      ->option_text("K")
      ->group(group);
  command
      .add_option("--top-p", arguments->sampler.top_p,
                  "Draw from the likeliest tokens that together reach this probability. [1]")
      ->option_text("P")
      ->group(group);
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "Tokens appear as they come. Writing ends at an end-of-text token or after --tokens. --seed sets what is drawn.",
      "  planish-llama generate --prompt 'The old lighthouse keeper'\n"
      "  planish-llama generate --chat --prompt 'Why is the sky blue?' --recipe w8a8 --temperature 0.7 --top-p 0.9"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
