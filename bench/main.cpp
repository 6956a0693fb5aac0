// planish-bench: measures every kernel beside the ceilings of this machine.
#include <condition_variable>
#include <map>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include <planish/backend/enable_amx.hpp>
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

}  // namespace bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("planish", planish::abi_name);
  if (const planish::Status amx = planish::enable_amx(); !amx)
    benchmark::AddCustomContext("amx", std::string(amx.message()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
