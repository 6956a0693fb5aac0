#pragma once
#include <atomic>
#include <thread>
#include <vector>

/// As many workers as asked for; which of them takes which task is left to chance.
struct ThreadPerWorker {
  int count;

  [[nodiscard]] int workers() const noexcept { return count; }
  template <class Work>
  void run(int tasks, Work&& work) {
    std::atomic<int> next{0};
    std::vector<std::thread> threads;
    for (int worker = 0; worker < count; ++worker)
      threads.emplace_back([&, worker] {
        for (int task; (task = next++) < tasks;) work(task, worker);
      });
    for (std::thread& thread : threads) thread.join();
  }
};
