#include <cstdio>
#include <limits>

#include "../progress.hpp"
#include "../report.hpp"
#include "../speed.hpp"
#include "../table.hpp"
#include "commands.hpp"
#include "manual.hpp"

namespace llama {
namespace {

struct BenchArguments {
  HostOptions host;
  std::vector<std::string> recipes;
  std::string json;
  SpeedOptions speed;
};

struct BenchRow {
  std::string recipe;
  Speed speed;
};

Table table_of(const std::vector<BenchRow>& rows) {
  std::vector<Column> columns{{"recipe", "", Align::left},
                              {"phase", "", Align::left},
                              {"depth", "tokens"},
                              {"speed", "tokens/s"},
                              {"of ceiling", "%"}};
  for (std::string_view name : phase_names) columns.push_back({std::string(name), "% of time"});
  Table table(std::move(columns));
  for (const BenchRow& row : rows) {
    std::vector<std::string> cells{row.recipe,
                                   (row.speed.decode ? "decode " : "prefill ") + std::to_string(row.speed.tokens),
                                   std::to_string(row.speed.depth), significant(row.speed.tokens_per_s, 4),
                                   fixed(100.0 * row.speed.share_of_ceiling(), 0)};
    for (double share : row.speed.shares) cells.push_back(fixed(100.0 * share, 1));
    table.add_row(std::move(cells));
  }
  return table;
}

Json bench_json(const std::string& model, int threads, const bench::Ceilings& ceilings,
                const std::vector<BenchRow>& rows) {
  Json json = {{"model", model},
               {"threads", threads},
               {"ceilings",
                {{"int8_dot_operations_per_s", ceilings.int8_dot},
                 {"float_operations_per_s", ceilings.fma},
                 {"read_bytes_per_s", ceilings.read}}},
               {"rows", Json::array()}};
  for (const BenchRow& row : rows) {
    Json shares;
    for (std::size_t p = 0; p < phase_count; ++p) shares[std::string(phase_names[p])] = row.speed.shares[p];
    json["rows"].push_back({{"recipe", row.recipe},
                            {"phase", row.speed.decode ? "decode" : "prefill"},
                            {"tokens", row.speed.tokens},
                            {"depth", row.speed.depth},
                            {"tokens_per_s", row.speed.tokens_per_s},
                            {"ceiling_tokens_per_s", row.speed.ceiling},
                            {"share_of_time", shares}});
  }
  return json;
}

void run(const BenchArguments& arguments) {
  Host host(arguments.host);
  std::vector<Recipe> recipes;
  for (const std::string& text : arguments.recipes) recipes.push_back(host.check_recipe(text, false));
  if (arguments.recipes.empty()) recipes.push_back(host.check_recipe(""));
  const bool on_cpu = arguments.host.backend == Backend::cpu;
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  bench::Ceilings ceilings;
  ceilings.int8_dot = ceilings.fma = ceilings.read = unknown;
  if (on_cpu) ceilings = bench::measure_ceilings(host.executor());
  bench::cold_memory() = {};

  std::vector<BenchRow> rows;
  for (const Recipe& recipe : recipes) {
    const Model model = host.build(recipe);
    Progress progress("timing " + to_string(recipe), 1.0, "models");
    for (const Speed& speed : measure_speed(model, arguments.speed, ceilings, host.executor()))
      rows.push_back({to_string(recipe), speed});
    progress.advance(1.0);
  }
  std::printf("%s, %d threads, %s; %d-bit head\n\n%s\n", host.config().name.c_str(), host.executor().workers(),
              on_cpu ? bench::isa : "cuda", arguments.host.head_bits, table_of(rows).to_string().c_str());
  if (on_cpu)
    std::printf(
        "ceilings of the same run: 8-bit dot products %s GOP/s, float multiply-adds %s GFLOP/s, memory read %s "
        "GB/s\n",
        significant(ceilings.int8_dot * 1e-9, 3).c_str(), significant(ceilings.fma * 1e-9, 3).c_str(),
        significant(ceilings.read * 1e-9, 3).c_str());
  if (!arguments.json.empty())
    write_json(arguments.json, bench_json(host.source().path(), host.executor().workers(), ceilings, rows));
}

}  // namespace

void add_bench(CLI::App& program) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App& command =
      *program.add_subcommand("bench", "time prefill and decode of recipes beside the machine's limits");
  add_model_options(command, arguments->host);
  add_backend_option(command, arguments->host);
  command
      .add_option("-r,--recipe", arguments->recipes,
                  "What is quantized, how and after which transforms; may be repeated. See RECIPES. [fp32, or that of "
                  "--planish]")
      ->option_text("RECIPE")
      ->group("Quantization")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_recipe_options(command, arguments->host);
  const char* group = "Speed";
  const auto tokens = CLI::Range(index{1}, index{1} << 20);
  command.add_option("--prefill", arguments->speed.prefill, "Tokens of the prompt. [512]")
      ->check(tokens)
      ->option_text("N")
      ->group(group);
  command.add_option("--decode", arguments->speed.decode, "Tokens written one by one. [128]")
      ->check(tokens)
      ->option_text("N")
      ->group(group);
  command.add_option("--depth", arguments->speed.depths, "Tokens that are cached before; several by commas. [0]")
      ->delimiter(',')
      ->check(CLI::Range(index{0}, index{1} << 20))
      ->option_text("N[,N]...")
      ->group(group);
  command.add_option("--repeats", arguments->speed.repeats, "Runs, of which the median counts. [5]")
      ->check(CLI::Range(index{1}, index{1000}))
      ->option_text("N")
      ->group(group);
  add_json_option(command, arguments->json);
  command.footer(manual_footer(
      "Tokens are drawn at random. The ceiling of prefill is the speed that the multiplications of the linear layers "
      "alone would have at the rate of 8-bit dot products in registers; that of decode, the speed at which the bytes "
      "of blocks and head alone can be read from memory. Both rates are measured just before, with the same threads. "
      "On "
      "a GPU there are no ceilings and no shares: a step of decoding is one graph.",
      "  planish-llama bench --recipe w4a8 --recipe w4a4kv4+hadamard --depth 0,2048 --head-bits 8"));
  command.callback([arguments] { run(*arguments); });
}

}  // namespace llama
