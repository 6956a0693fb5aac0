#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include <planish/core/executor.hpp>

namespace llama {

/// Threads that share numbered tasks: a planish::Executor. The calling thread works too, as worker 0. Workers without
/// work spin for a moment, because the next layer follows in microseconds, and then sleep. One `run` at a time.
class ThreadPool {
 public:
  /// `workers` counts the calling thread; 0: as many as the machine runs at once.
  explicit ThreadPool(int workers = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int workers() const noexcept { return static_cast<int>(threads_.size()) + 1; }

  /// Calls `work(task, worker)` once for every task in [0, tasks) and returns after the last one. Tasks are handed out
  /// in rising order. Calling `run` from inside a task ends the program.
  template <class Work>
  void run(int tasks, Work&& work) noexcept {
    using Plain = std::remove_reference_t<Work>;
    run_tasks(
        tasks, [](void* context, int task, int worker) { (*static_cast<Plain*>(context))(task, worker); },
        const_cast<void*>(static_cast<const void*>(std::addressof(work))));
  }

 private:
  using Task = planish::ExecutorReference::Task;

  void run_tasks(int tasks, Task task, void* context) noexcept;
  void serve(int worker) noexcept;
  bool take_one(int worker) noexcept;

  std::vector<std::thread> threads_;

  // One job at a time. `state_` holds its number (high half) and how many of its tasks nobody has taken yet (low half).
  // The three fields below it change only while that count is zero, so whoever takes a task from an unchanged state has
  // read the fields that belong to it.
  std::atomic<std::uint64_t> state_{0};
  std::atomic<int> tasks_{0};
  std::atomic<Task> task_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int> unfinished_{0};

  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace llama
