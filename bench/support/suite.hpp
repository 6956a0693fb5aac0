#pragma once
// How a kernel becomes rows of the suite.
#include <functional>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include <planish/core/executor.hpp>
#include <planish/core/index.hpp>

#include "ceiling.hpp"

namespace bench {

/// The suite's threads: an executor with so many workers, made once per count.
planish::ExecutorReference executor(int threads);

/// What one call of a kernel does.
struct Work {
  double int8_operations = 0;    ///< multiply-adds on codes, counted as two
  double nibble_operations = 0;  ///< likewise with 4-bit weights, where these have instructions of their own
  double amx_operations = 0;     ///< the same by matrix tiles
  double float_operations = 0;   ///< likewise on floats
  double bf16_operations = 0;    ///< likewise on terms of bfloat16
  double bytes = 0;              ///< moved from or to memory that is in no cache

  [[nodiscard]] double amount(Ceiling of) const noexcept {
    return of == Ceiling::int8_dot     ? int8_operations
           : of == Ceiling::nibble_dot ? nibble_operations
           : of == Ceiling::amx_dot    ? amx_operations
           : of == Ceiling::fma        ? float_operations
           : of == Ceiling::bf16_dot   ? bf16_operations
                                       : bytes;
  }
};

/// Times `call` and reports its median in us, GOP/s, GB/s and percent_of_ceiling; the label names the ceiling. Rounds
/// of calls lie between tries of the ceilings that the work meets, and each round is compared with the tries beside it:
/// what slows the machine for a while slows both.
void measure(benchmark::State& state, int threads, const Work& work, const std::function<void()>& call);

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
  benchmark::RegisterBenchmark(path.text().c_str(), std::move(body))->Unit(benchmark::kMillisecond);
  return true;
}

/// Thread counts of the suite: one, and all.
inline constexpr int thread_counts[] = {1, 2};

}  // namespace bench
