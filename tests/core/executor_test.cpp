#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <planish/core/executor.hpp>

using planish::Executor;
using planish::ExecutorReference;
using planish::part_of;

namespace {

// The simplest host: a thread per task.
struct ThreadPerTask {
  int workers() const noexcept { return 4; }
  template <class Work>
  void run(int tasks, Work work) const noexcept {
    std::vector<std::thread> threads;
    for (int task = 0; task < tasks; ++task) threads.emplace_back([work, task] { work(task, task % 4); });
    for (std::thread& thread : threads) thread.join();
  }
};
static_assert(Executor<ThreadPerTask>);

void run_from_c(void* host, int tasks, ExecutorReference::Task task, void* context) {
  ++*static_cast<int*>(host);
  for (int i = tasks - 1; i >= 0; --i) task(context, i, 0);
}

}  // namespace

TEST_CASE("ExecutorReference: every task exactly once, whoever runs it") {
  const ThreadPerTask threads;
  int calls = 0;
  for (ExecutorReference executor :
       {ExecutorReference(), ExecutorReference(threads), ExecutorReference(&calls, 1, run_from_c)}) {
    for (int tasks : {0, 1, 2, 13}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(tasks));
      executor.run(tasks, [&](int task, int worker) {
        CHECK(worker < executor.workers());
        ++seen[static_cast<std::size_t>(task)];
      });
      for (const auto& count : seen) CHECK(count == 1);
    }
  }
  CHECK(calls == 2);  // nothing to hand over for zero tasks or one
}

TEST_CASE("part_of: the parts cover everything once, in order") {
  for (std::ptrdiff_t items : {0, 1, 5, 64, 65})
    for (std::ptrdiff_t parts : {1, 2, 3, 7}) {
      std::ptrdiff_t next = 0;
      for (std::ptrdiff_t part = 0; part < parts; ++part) {
        const auto [begin, end] = part_of(items, part, parts);
        CHECK(begin == next);
        next = end;
      }
      CHECK(next == items);
    }
}
