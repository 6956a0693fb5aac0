#pragma once
// How a kernel becomes rows of the suite.
#include <cstdint>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include <planish/core/executor.hpp>
#include <planish/core/index.hpp>

#include "ceilings.hpp"
#include "stopwatch.hpp"

namespace bench {

/// The suite's threads: an executor with so many workers, made once per count.
planish::ExecutorReference executor(int threads);

/// The ceilings of so many threads, measured on first use.
const Ceilings& ceilings(int threads);

/// What one call of a kernel does.
struct Work {
  double int8_operations = 0;   ///< multiply-adds on codes, counted as two
  double amx_operations = 0;    ///< the same by matrix tiles
  double float_operations = 0;  ///< likewise on floats
  double bytes = 0;             ///< moved from or to memory that is in no cache
};

/// Seconds that the ceilings allow for it, whichever is the narrowest.
inline double least_seconds(const Work& work, const Ceilings& limit) noexcept {
  double least = work.int8_operations / limit.int8_dot;
  if (work.amx_operations > 0) least = work.amx_operations / limit.amx_dot;
  if (work.float_operations / limit.fma > least) least = work.float_operations / limit.fma;
  if (work.bytes / limit.read > least) least = work.bytes / limit.read;
  return least;
}

/// Times `call` and reports GOP/s, GB/s and percent_of_ceiling.
template <class Call>
void measure(benchmark::State& state, int threads, const Work& work, Call&& call) {
  const Ceilings& limit = ceilings(threads);
  call();  // touches every page once
  const Stopwatch watch;
  std::int64_t calls = 0;
  for (auto _ : state) {
    call();
    ++calls;
  }
  const double seconds = watch.seconds() / static_cast<double>(calls);
  const double operations = work.int8_operations + work.amx_operations + work.float_operations;
  if (operations > 0) state.counters["GOP/s"] = operations / seconds * 1e-9;
  if (work.bytes > 0) state.counters["GB/s"] = work.bytes / seconds * 1e-9;
  state.counters["percent_of_ceiling"] = 100 * least_seconds(work, limit) / seconds;
}

/// A name that reads as a path: path("gemm", "w4a8", isa).add("m", 512) ... -> "gemm/w4a8/avx512vnni/m:512".
class Path {
 public:
  template <class... Parts>
  explicit Path(const Parts&... parts) {
    ((text_ += (text_.empty() ? "" : "/"), text_ += parts), ...);
  }
  Path& add(const char* key, planish::index value) {
    text_ += "/" + std::string(key) + ":" + std::to_string(value);
    return *this;
  }
  Path& add(const char* part) {
    text_ += "/" + std::string(part);
    return *this;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

/// Adds a row. `body(state)` makes its operands, then calls `measure`.
template <class Body>
bool add(const Path& path, Body body) {
  benchmark::RegisterBenchmark(path.text().c_str(), std::move(body))->Unit(benchmark::kMicrosecond);
  return true;
}

/// Thread counts of the suite: one, and all.
inline constexpr int thread_counts[] = {1, 2};

}  // namespace bench
