#pragma once
#include <omp.h>

/// The host's OpenMP threads as a planish::Executor. The number of workers is fixed, because scratch is cut by it.
class OpenMpThreads {
 public:
  explicit OpenMpThreads(int workers) noexcept : workers_(workers) {}

  [[nodiscard]] int workers() const noexcept { return workers_; }

  template <class Work>
  void run(int tasks, Work&& work) const noexcept {
#pragma omp parallel for num_threads(workers_) schedule(dynamic, 1)
    for (int task = 0; task < tasks; ++task) work(task, omp_get_thread_num());
  }

 private:
  int workers_;
};
