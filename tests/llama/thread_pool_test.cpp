#include "llama/thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

using namespace llama;

static_assert(planish::Executor<ThreadPool>);

TEST_CASE("every task runs once, on a worker of its own") {
  for (const int workers : {1, 2, 3, 7}) {
    ThreadPool pool(workers);
    REQUIRE(pool.workers() == workers);
    for (const int tasks : {0, 1, 2, 7, 63, 64, 65, 576}) {
      INFO("workers ", workers, ", tasks ", tasks);
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tasks));
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(workers));
      std::atomic<bool> shared{false};
      pool.run(tasks, [&](int task, int worker) {
        if (busy[static_cast<std::size_t>(worker)].exchange(1) != 0) shared = true;
        ++runs[static_cast<std::size_t>(task)];
        busy[static_cast<std::size_t>(worker)] = 0;
      });
      CHECK(std::all_of(runs.begin(), runs.end(), [](const auto& count) { return count == 1; }));
      CHECK_FALSE(shared);
    }
  }
}

TEST_CASE("thousands of short runs lose nothing, asleep or awake") {
  ThreadPool pool(4);
  long long sum = 0, expected = 0;
  for (int round = 0; round < 5000; ++round) {
    const int tasks = round % 9;
    std::atomic<long long> part{0};
    pool.run(tasks, [&](int task, int) { part += task + round; });
    sum += part;
    for (int task = 0; task < tasks; ++task) expected += task + round;
    if (round % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(sum == expected);
}

TEST_CASE("what tasks wrote is visible after the run") {
  ThreadPool pool(3);
  std::vector<int> plain(1000);
  for (int round = 1; round <= 50; ++round) {
    pool.run(1000, [&](int task, int) { plain[static_cast<std::size_t>(task)] += task; });
    CHECK(std::accumulate(plain.begin(), plain.end(), 0) == round * 999 * 500);
  }
}

TEST_CASE("work is shared between threads") {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  std::atomic<bool> met{false};
  pool.run(2, [&](int, int) {  // each task waits for the other, so one thread alone would wait in vain
    ++arrived;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    if (arrived == 2) met = true;
  });
  CHECK(met);
}

TEST_CASE("it serves as planish::ExecutorReference") {
  ThreadPool pool(3);
  const planish::ExecutorReference executor(pool);
  CHECK(executor.workers() == 3);
  std::atomic<int> sum{0};
  executor.run(10, [&](int task, int worker) {
    if (worker >= 0 && worker < 3) sum += task;
  });
  CHECK(sum == 45);
}

TEST_CASE("pools come and go") {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(3);
    if (i % 2 == 0) pool.run(3, [](int, int) {});
  }
  CHECK(ThreadPool().workers() >= 1);
}

TEST_CASE("a run inside a task ends the program instead of hanging it") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(1);
    ThreadPool pool(2);
    pool.run(2, [&](int, int) { pool.run(2, [](int, int) {}); });
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}
