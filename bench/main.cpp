// planish-bench: measures the ceilings of this machine, then every kernel against them.
#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include <planish/core/version.hpp>

#include "llama/thread_pool.hpp"
#include "support/suite.hpp"

namespace bench {

planish::ExecutorReference executor(int threads) {
  static std::map<int, std::unique_ptr<llama::ThreadPool>> pools;
  auto& pool = pools[threads];
  if (pool == nullptr) pool = std::make_unique<llama::ThreadPool>(threads);
  return *pool;
}

const Ceilings& ceilings(int threads) {
  static std::map<int, Ceilings> measured;
  const auto found = measured.find(threads);
  if (found != measured.end()) return found->second;
  return measured[threads] = measure_ceilings(executor(threads));
}

}  // namespace bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("planish", planish::abi_name);
  if (const planish::Status amx = planish::enable_amx(); !amx)
    benchmark::AddCustomContext("amx", std::string(amx.message()));
  for (int threads : bench::thread_counts) {
    const bench::Ceilings& limit = bench::ceilings(threads);
    char text[160], tiles[40] = "";
    if (limit.amx_dot > 0) std::snprintf(tiles, sizeof tiles, "AMX int8 %.0f GOP/s, ", limit.amx_dot * 1e-9);
    std::snprintf(text, sizeof text, "int8 dot %.0f GOP/s, %sfloat FMA %.0f GFLOP/s, read %.1f GB/s",
                  limit.int8_dot * 1e-9, tiles, limit.fma * 1e-9, limit.read * 1e-9);
    benchmark::AddCustomContext("ceilings/" + std::string(bench::isa) + "/threads:" + std::to_string(threads), text);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
