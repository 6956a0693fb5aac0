// planish starts no thread. A layer runs on the threads that the host has, whatever they are, and gets the same bits.
#include <cstdio>
#include <cstring>
#include <vector>

#include <planish/planish.hpp>

#include "../llama/thread_pool.hpp"
#include "c_threads.h"
#if defined(_OPENMP)
#include "openmp_threads.hpp"
#endif

namespace pl = planish;
using Layer = pl::QuantizedLinear<pl::Quantizer<4, pl::PerGroup<32>>, pl::Quantizer<8, pl::PerToken>, pl::Hadamard>;

namespace {

constexpr pl::index tokens = 40, in = 768, out = 500;
constexpr int workers = 3;

/// An executor over another that counts what it is given: executors are values of the host, and may be stacked.
template <pl::Executor E>
struct Counted {
  E& inner;
  int tasks = 0;

  [[nodiscard]] int workers() const noexcept { return inner.workers(); }
  template <class Work>
  void run(int count, Work&& work) noexcept {
    tasks += count;
    inner.run(count, work);
  }
};

/// The layer's output by these threads; empty after an error.
std::vector<float> run(const char* name, const Layer& layer, pl::MatrixView<const float> x,
                       pl::ExecutorReference executor) {
  Counted<pl::ExecutorReference> threads{executor};
  std::vector<float> y(static_cast<std::size_t>(tokens * out));
  std::vector<std::byte> memory(layer.workspace_size(tokens, executor.workers()));
  const pl::Status status = layer.forward(x, {y.data(), tokens, out}, pl::Workspace(memory), threads);
  std::printf("%-14s workers: %d, tasks: %d\n", name, executor.workers(), threads.tasks);
  if (status) return y;
  std::printf("%.*s\n", static_cast<int>(status.message().size()), status.message().data());
  return {};
}

}  // namespace

int main() {
  pl::Random random(12);
  std::vector<float> activations(tokens * in), matrix(out * in);
  for (float& value : activations) value = static_cast<float>(random.normal());
  for (float& value : matrix) value = static_cast<float>(random.normal());
  const pl::MatrixView<const float> x(activations.data(), tokens, in);
  const auto hadamard = pl::Hadamard::make(in, 3);
  if (!hadamard) return 1;
  const auto layer = Layer::make({matrix.data(), out, in}, {}, *hadamard);
  if (!layer) return 1;

  const std::vector<float> serial = run("calling thread", *layer, x, {});
  bool same = !serial.empty();
  const auto compare = [&](const std::vector<float>& y) {
    same = same && y.size() == serial.size() && std::memcmp(y.data(), serial.data(), y.size() * sizeof(float)) == 0;
  };

  llama::ThreadPool pool(workers);  // std::thread
  compare(run("thread pool", *layer, x, pool));

  void* const host = c_threads_create(workers);  // a function pointer and a void*
  if (host == nullptr) return 1;
  compare(run("C callback", *layer, x, {host, workers, c_threads_run}));
  c_threads_destroy(host);

#if defined(_OPENMP)
  OpenMpThreads openmp(workers);
  compare(run("OpenMP", *layer, x, openmp));
#else
  std::printf("OpenMP is not here\n");
#endif
  std::printf("%s\n", same ? "the same bits" : "different bits");
  return same ? 0 : 1;
}
